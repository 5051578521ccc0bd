package sandbox_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

func postFault(t testing.TB, s http.Handler, body string) call {
	t.Helper()
	return call{method: "POST", target: "/sandbox/faults", contentType: jsonType, body: strings.NewReader(body)}
}

func TestFaultControl(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	text := `{"effect":"status","client_id":"` + sandbox.ClientID + `","method":"POST","path":"/v1/signdoc/pades","count":2,"late":true,"status":429,"code":"x","retry_after":"1m"}`
	w := send(t, s, postFault(t, s, text))
	want := `[{"effect":"status","client_id":"sandbox-client","method":"POST","path":"/v1/signdoc/pades","count":2,"late":true,"status":429,"code":"x","retry_after":"1m0s"}]` + "\n"
	if w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("status %d, body %s", w.Code, w.Body)
	}
	if got := s.Faults(); len(got) != 1 || got[0] != (sandbox.Fault{
		Effect: sandbox.Status, ClientID: sandbox.ClientID, Method: "POST", Path: "/v1/signdoc/pades", Count: 2, Late: true,
		Status: 429, Code: "x", RetryAfter: time.Minute,
	}) {
		t.Errorf("faults %+v", got)
	}
	for _, text := range []string{`{"effect":"delay","delay":"1.5s"}`, `{"effect":"move_clock","offset":"-40s"}`, `{"effect":"rotate_key","disable_old":true}`, `{"effect":"revoke_tokens"}`} {
		decode[[]map[string]any](t, send(t, s, postFault(t, s, text)), http.StatusOK)
	}
	list := decode[[]map[string]any](t, send(t, s, call{method: "GET", target: "/sandbox/faults"}), http.StatusOK)
	if len(list) != 3 || list[1]["delay"] != "1.5s" || list[2]["offset"] != "-40s" {
		t.Errorf("list is %v", list)
	}
	wantNoBody(t, send(t, s, call{method: "DELETE", target: "/sandbox/faults"}), http.StatusNoContent)
	if got := send(t, s, call{method: "GET", target: "/sandbox/faults"}).Body.String(); got != "[]\n" {
		t.Errorf("list is %s", got)
	}
}

func TestFaultControlRefusals(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for body, want := range map[string]string{
		``:                                     "the body is empty",
		`[]`:                                   "must be a JSON object",
		`{"effect":"hang",}`:                   "invalid character",
		`{"effect":"hang"`:                     "ends too early",
		`null`:                                 "is null",
		`{}`:                                   `effect "" is unknown: it must be one of [delay status `,
		`{"effect":"hang"}{}`:                  "more than one JSON value",
		`{"effect":"hang","paths":1}`:          "paths is not a member",
		`{"effect":"hang","path":"/none"}`:     `path "/none" is unknown`,
		`{"effect":"delay","delay":5}`:         `delay must be a string such as "5s"`,
		`{"effect":"delay","delay":"5"}`:       `"5" is no duration such as "5s"`,
		`{"effect":"status","status":"x"}`:     "status must be an integer",
		`{"effect":"` + filler(64<<10) + `"}`:  "too large",
		`{"effect":"` + filler(1<<10) + `"}`:   "is unknown",
		`{"effect":"hang","client_id":"none"}`: `client_id "none" is unknown`,
	} {
		status := http.StatusBadRequest
		if want == "too large" {
			status = http.StatusRequestEntityTooLarge
		}
		if want == "is unknown" {
			want = "…"
		}
		if got := decode[string](t, send(t, s, postFault(t, s, body)), status); !strings.Contains(got, want) {
			t.Errorf("%.80s: %q, want %q", body, got, want)
		}
	}
	other := postFault(t, s, `{"effect":"hang"}`)
	other.contentType = "text/plain"
	if got := decode[string](t, send(t, s, other), http.StatusUnsupportedMediaType); !strings.Contains(got, "Content-Type: application/json") {
		t.Errorf("refusal of another type is %q", got)
	}
	if got := s.Faults(); len(got) != 0 {
		t.Errorf("faults %v", got)
	}
}

// The faults in the package documentation are good ones.
func TestDocumentedFaults(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	s, n := newServer(t, sandbox.Options{}), 0
	for line := range strings.Lines(string(doc)) {
		if text, ok := strings.CutPrefix(line, "//\t"); ok && strings.HasPrefix(text, "{") {
			n++
			decode[[]any](t, send(t, s, postFault(t, s, text)), http.StatusOK)
		}
	}
	if n == 0 {
		t.Error("there are none")
	}
}

// A fault can be sent to a sandbox in another process as it is.
func TestFaultJSON(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	want := sandbox.Fault{Effect: sandbox.Delay, Path: "/csc/v2/info", Delay: 1500 * time.Millisecond, Late: true}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	list := decode[[]sandbox.Fault](t, send(t, s, postFault(t, s, string(text))), http.StatusOK)
	if len(list) != 1 || list[0] != want {
		t.Errorf("%s became %+v", text, list)
	}
}

func filler(n int) string { return strings.Repeat("x", n) }
