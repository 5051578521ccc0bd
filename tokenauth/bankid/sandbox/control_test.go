package sandbox_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// drive puts an order into another state.
func drive(t testing.TB, s http.Handler, id, status string) *httptest.ResponseRecorder {
	t.Helper()
	body := strings.NewReader(`{"status": "` + status + `"}`)
	return send(t, s, call{method: "POST", target: "/sandbox/orders?sign_id=" + url.QueryEscape(id), contentType: jsonType, body: body})
}

// wantState checks what the status call and the download say of an order that
// is not complete.
func wantState(t testing.TB, s http.Handler, target, authorization, id, want string) {
	t.Helper()
	ask := call{method: "GET", target: target + "?sign_id=" + id, authorization: authorization}
	if got := decode[orderAnswer](t, send(t, s, ask), http.StatusOK).State; got != want {
		t.Errorf("status is %q, want %q", got, want)
	}
	if want == "SIGN_COMPLETED" {
		return
	}
	ask.method = "DELETE"
	if got := decode[string](t, send(t, s, ask), http.StatusBadRequest); !strings.Contains(got, want) {
		t.Errorf("refusal is %q, want it to name %q", got, want)
	}
}

func TestSignerJourneys(t *testing.T) {
	for _, target := range []string{"/v1/signdoc/pades", "/signdoc/pades", "/v1/timestamp/pades/lta"} {
		for _, last := range []string{"SIGN_COMPLETED", "REJECTED", "FAILED", "TIMED_OUT"} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, sandbox.Options{})
				authorization := bearer(t, s, "esign esign/qtsa")
				id := opened(t, s, target, authorization)
				for _, state := range []string{"ORDER_RECEIVED", "USER_SIGNING", "USER_SIGNING", last} {
					got := decode[map[string]string](t, drive(t, s, id, state), http.StatusOK)
					if got["sign_id"] != id || got["status"] != state {
						t.Errorf("answer is %v", got)
					}
					time.Sleep(time.Minute) // nothing happens by itself any more
					wantState(t, s, target, authorization, id, state)
				}
				for _, state := range []string{"ORDER_RECEIVED", "USER_SIGNING", "REJECTED", "FAILED", "TIMED_OUT", "SIGN_COMPLETED"} {
					if state == last {
						decode[map[string]string](t, drive(t, s, id, state), http.StatusOK)
						continue
					}
					if got := decode[string](t, drive(t, s, id, state), http.StatusConflict); !strings.Contains(got, last) {
						t.Errorf("refusal is %q", got)
					}
				}
				if last == "SIGN_COMPLETED" {
					decode[orderAnswer](t, send(t, s, call{method: "DELETE", target: target + "?sign_id=" + id, authorization: authorization}), http.StatusOK)
					decode[string](t, drive(t, s, id, last), http.StatusNotFound)
				}
			})
		}
	}
}

func TestSigningDoesNotBeginAgain(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	id := opened(t, s, "/v1/signdoc/pades", bearer(t, s, "esign"))
	decode[map[string]string](t, drive(t, s, id, "USER_SIGNING"), http.StatusOK)
	decode[string](t, drive(t, s, id, "ORDER_RECEIVED"), http.StatusConflict)
}

func TestTimeout(t *testing.T) {
	const target = "/v1/signdoc/pades"
	for timeout, want := range map[string]time.Duration{`600`: 600 * time.Second, `0`: 1800 * time.Second, `1800`: 1800 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, sandbox.Options{TokenLifetime: time.Hour})
			authorization := bearer(t, s, "esign")
			body := strings.Replace(orderAt(target, signedPDF("x")), "1800", timeout, 1)
			id := decode[map[string]string](t, create(t, s, target, authorization, strings.NewReader(body)), http.StatusCreated)["sign_id"]
			begun := opened(t, s, target, authorization)
			decode[map[string]string](t, drive(t, s, id, "ORDER_RECEIVED"), http.StatusOK)
			decode[map[string]string](t, drive(t, s, begun, "USER_SIGNING"), http.StatusOK)
			time.Sleep(want - 1)
			wantState(t, s, target, authorization, id, "ORDER_RECEIVED")
			time.Sleep(time.Nanosecond)
			wantState(t, s, target, authorization, id, "TIMED_OUT")
			wantState(t, s, target, authorization, begun, "USER_SIGNING")
			decode[string](t, drive(t, s, id, "USER_SIGNING"), http.StatusConflict)
		})
	}
}

func TestTimeoutBeforeSigningDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const target = "/v1/signdoc/pades"
		s := newServer(t, sandbox.Options{SigningDelay: time.Hour, TokenLifetime: 3 * time.Hour})
		authorization := bearer(t, s, "esign")
		id := opened(t, s, target, authorization)
		time.Sleep(1800 * time.Second)
		wantState(t, s, target, authorization, id, "TIMED_OUT")
		time.Sleep(time.Hour)
		wantState(t, s, target, authorization, id, "TIMED_OUT")
	})
}

func TestControlRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{SigningDelay: time.Hour})
	id := opened(t, s, "/v1/signdoc/pades", bearer(t, s, "esign"))
	target := "/sandbox/orders?sign_id=" + id
	for body, want := range map[string]string{
		``:                        "the body is empty",
		`[]`:                      "must be a JSON object",
		`{}`:                      `status "" is not one of ORDER_RECEIVED, `,
		`null`:                    `status ""`,
		`{"status":1}`:            "status must be a string",
		`{"state":"REJECTED"}`:    `status ""`,
		`{"status":"DONE"}`:       `status "DONE" is not one of ORDER_RECEIVED, `,
		`{"status":"rejected"}`:   `, REJECTED, `,
		`{"status":"REJECTED"`:    "ends too early",
		`{"status":"REJECTED"}x`:  "invalid character",
		`{"status":"REJECTED"}{}`: "more than one JSON value",
	} {
		w := send(t, s, call{method: "POST", target: target, contentType: jsonType, body: strings.NewReader(body)})
		if got := decode[string](t, w, http.StatusBadRequest); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	for query, status := range map[string]int{"": 400, "?sign_id=": 400, "?sign_id=a&sign_id=b": 400, "?sign_id=none": 404} {
		w := send(t, s, call{method: "POST", target: "/sandbox/orders" + query, contentType: jsonType, body: strings.NewReader(`{"status":"REJECTED"}`)})
		if got := decode[string](t, w, status); !strings.Contains(got, "sign_id") {
			t.Errorf("%q: %q does not say what of", query, got)
		}
	}
	w := send(t, s, call{method: "POST", target: target, contentType: "text/plain", body: strings.NewReader(`{"status":"REJECTED"}`)})
	if got := decode[string](t, w, http.StatusUnsupportedMediaType); !strings.Contains(got, "Content-Type: application/json") {
		t.Errorf("refusal of another type is %q", got)
	}
	w = send(t, s, call{method: "GET", target: target})
	if w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Body.String(), "it takes POST") {
		t.Errorf("refusal of another method is %d %q", w.Code, w.Body)
	}
	w = send(t, s, call{method: "POST", target: target, contentType: jsonType, body: strings.NewReader(`{"status":"` + strings.Repeat("x", 64<<10) + `"}`)})
	decode[string](t, w, http.StatusRequestEntityTooLarge)
	wantState(t, s, "/v1/signdoc/pades", bearer(t, s, "esign"), id, "ORDER_RECEIVED")
}

func FuzzDriveOrder(f *testing.F) {
	for _, body := range []string{`{"status":"REJECTED"}`, `{"status":"USER_SIGNING","x":[]}`, `{"STATUS":"FAILED"}`, `{"status":null}`, `"`, ``} {
		f.Add("", []byte(body))
		f.Add("sandbox-x", []byte(body))
	}
	f.Fuzz(func(t *testing.T, id string, body []byte) {
		s := newServer(t, sandbox.Options{SigningDelay: time.Hour})
		if id == "" {
			id = opened(t, s, "/v1/signdoc/pades", bearer(t, s, "esign"))
		}
		w := send(t, s, call{method: "POST", target: "/sandbox/orders?sign_id=" + url.QueryEscape(id), contentType: jsonType, body: bytes.NewReader(body)})
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("status %d", w.Code)
		}
	})
}
