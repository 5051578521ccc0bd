package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

const infoPath = "/csc/v2/info"

// abandoned sends a call that gets no answer.
func abandoned(t testing.TB, s http.Handler, r *http.Request) {
	t.Helper()
	defer func() {
		if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // what a handler panics with
			t.Errorf("it ended with %v", got)
		}
	}()
	s.ServeHTTP(httptest.NewRecorder(), r)
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		info := call{method: "POST", target: infoPath}
		for _, late := range []bool{false, true} {
			inject(t, s, sandbox.Fault{Effect: sandbox.Delay, Delay: time.Minute, Late: late, Count: 1})
			start := time.Now()
			decode[map[string]any](t, send(t, s, info), http.StatusOK)
			if got := time.Since(start); got != time.Minute {
				t.Errorf("late %v: it took %v", late, got)
			}
		}
		inject(t, s, sandbox.Fault{Effect: sandbox.Delay, Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		abandoned(t, s, httptest.NewRequestWithContext(ctx, "POST", infoPath, nil))
	})
}

func TestHangEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		inject(t, s, sandbox.Fault{Effect: sandbox.Hang})
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		abandoned(t, s, httptest.NewRequestWithContext(ctx, "POST", infoPath, nil))
		if ctx.Err() == nil {
			t.Error("it ended before the client left")
		}
	})
}

// Each documented error can be had, in the form of its endpoint.
func TestStatus(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	for _, test := range []struct {
		method, path string
		status       int
		code         string
		members      string // beside the code, in the order of encoding/json
	}{
		{"POST", tokenPath, 400, "invalid_client", `{"error":"invalid_client","error_description":""}`},
		{"POST", tokenPath, 503, "temporarily_unavailable", `{"error":"temporarily_unavailable","error_description":""}`},
		{"POST", "/csc/v2/oauth2/token", 400, "invalid_grant", `{"error":"invalid_grant","error_description":""}`},
		{"POST", credentialsList, 503, "csc_user_keys_limit", `{"errorCode":"csc_user_keys_limit","errorDescription":"","errorReference":""}`},
		{"POST", signHash, 403, "insufficient_scope", `{"errorCode":"insufficient_scope","errorDescription":"","errorReference":""}`},
		{"POST", "/v1/signdoc/pades", 400, "no such signer", `"no such signer"`},
		{"DELETE", "/signdoc/pades", 403, "", ``},
		{"GET", "/v1/timestamp/pades/lta", 400, "not qualified", `"not qualified"`},
		{"POST", "/v1/timestamp/token", 500, "SIG-TG001", `{"code":"SIG-TG001","errorReference":"","message":"","requestId":""}`},
		{"POST", hashPath, 400, "invalid_request -- SIG_BB100", `{"error":"invalid_request -- SIG_BB100","error_description":"","error_reference":""}`},
		{"POST", hashPath, 401, "invalid_token", `{"error":"invalid_token","error_description":"","error_reference":""}`},
		{"GET", "/v0/b2b/csc/v2/info", 502, "", ``},
	} {
		s.ClearFaults()
		inject(t, s, sandbox.Fault{Effect: sandbox.Status, Path: test.path, Method: test.method, Status: test.status, Code: test.code, RetryAfter: 7 * time.Second})
		w := send(t, s, call{method: test.method, target: test.path})
		if w.Code != test.status || w.Header().Get("Retry-After") != "7" {
			t.Errorf("%s: status %d, Retry-After %q", test.path, w.Code, w.Header().Get("Retry-After"))
		}
		if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (test.path == hashPath && test.status == 401) {
			t.Errorf("%s: challenge %q", test.path, challenge)
		}
		if got := emptied(t, w, test.code); got != test.members {
			t.Errorf("%s: body %s, want %s", test.path, got, test.members)
		}
	}
}

// emptied is a body with only the code left.
func emptied(t testing.TB, w *httptest.ResponseRecorder, code string) string {
	t.Helper()
	var members map[string]string
	if json.Unmarshal(w.Body.Bytes(), &members) != nil {
		return strings.TrimSpace(w.Body.String())
	}
	for name, value := range members {
		if value == "" {
			t.Errorf("%s is empty", name)
		}
		if value != code {
			members[name] = ""
		}
	}
	body, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What a late fault hides has happened.
func TestLate(t *testing.T) {
	const target = "/v1/signdoc/pades"
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		authorization := bearer(t, s, "esign")
		for _, late := range []bool{false, true} {
			id := opened(t, s, target, authorization)
			drive(t, s, id, "SIGN_COMPLETED")
			inject(t, s, sandbox.Fault{Effect: sandbox.Status, Status: 504, Method: "DELETE", Late: late, Count: 1})
			fetch := call{method: "DELETE", target: target + "?sign_id=" + id, authorization: authorization}
			wantNoBody(t, send(t, s, fetch), http.StatusGatewayTimeout)
			want := http.StatusOK
			if late {
				want = http.StatusNotFound
			}
			if got := send(t, s, fetch).Code; got != want {
				t.Errorf("late %v: the next download has status %d, want %d", late, got, want)
			}
		}
	})
	t.Run("a service token is spent", func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		token := serviceToken(t, s, "sandbox-late")
		inject(t, s, sandbox.Fault{Effect: sandbox.Status, Status: 503, Code: "csc_user_keys_limit", Path: credentialsList, Late: true, Count: 1})
		wantCSCError(t, ask(t, s, credentialsList, token, body{}), http.StatusServiceUnavailable, "csc_user_keys_limit")
		wantCSCError(t, ask(t, s, credentialsList, token, body{}), http.StatusBadRequest, "token_already_used")
	})
}

func TestBrokenJSON(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	whole := send(t, s, call{method: "POST", target: infoPath})
	inject(t, s, sandbox.Fault{Effect: sandbox.BrokenJSON})
	w := send(t, s, call{method: "POST", target: infoPath})
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != jsonType || json.Valid(w.Body.Bytes()) ||
		w.Body.String() != whole.Body.String()[:whole.Body.Len()/2] {
		t.Errorf("status %d, body %q", w.Code, w.Body)
	}
	wantNoBody(t, send(t, s, call{method: "GET", target: "/signdoc/pades"}), http.StatusForbidden)
}

// Faults add up, the first injected outermost.
func TestFaultsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, sandbox.Options{})
		inject(t, s,
			sandbox.Fault{Effect: sandbox.MoveClock, Offset: time.Hour},
			sandbox.Fault{Effect: sandbox.Delay, Delay: time.Minute},
			sandbox.Fault{Effect: sandbox.BrokenJSON},
			sandbox.Fault{Effect: sandbox.Delay, Delay: time.Minute, Late: true},
			sandbox.Fault{Effect: sandbox.Status, Status: 429, Code: "slow_down", RetryAfter: time.Second},
		)
		start := time.Now()
		w := send(t, s, call{method: "POST", target: infoPath})
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || w.Body.Len() == 0 || json.Valid(w.Body.Bytes()) {
			t.Errorf("status %d, header %v, body %q", w.Code, w.Header(), w.Body)
		}
		if got := time.Since(start); got != 2*time.Minute {
			t.Errorf("it took %v", got)
		}
		if got := w.Header().Get("Date"); got != start.Add(time.Hour+2*time.Minute).UTC().Format(http.TimeFormat) {
			t.Errorf("Date is %q", got)
		}
	})
}

// Ways to serve over a network.
const (
	plain = iota
	secure
	http2
)

// served serves a sandbox, and returns a client of it.
func served(t *testing.T, by int) (*sandbox.Server, string, *http.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	s := newServer(t, sandbox.Options{})
	server.Config.Handler = s
	server.EnableHTTP2 = by == http2
	if by == plain {
		server.Start()
	} else {
		server.StartTLS()
	}
	t.Cleanup(server.Close)
	return s, server.URL, server.Client()
}

func TestReset(t *testing.T) {
	for _, by := range []int{plain, secure} {
		for _, late := range []bool{false, true} {
			s, url, client := served(t, by)
			inject(t, s, sandbox.Fault{Effect: sandbox.BrokenJSON}, sandbox.Fault{Effect: sandbox.Reset, Late: late})
			answer, err := client.Post(url+infoPath, jsonType, strings.NewReader("{}"))
			if err == nil {
				_ = answer.Body.Close()
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("by %d, late %v: %v", by, late, err)
			}
		}
	}
}

func TestResetOfAStream(t *testing.T) {
	s, url, client := served(t, http2)
	for range 2 {
		inject(t, s, sandbox.Fault{Effect: sandbox.Reset, Count: 1})
		answer, err := client.Post(url+infoPath, jsonType, strings.NewReader("{}"))
		if err == nil {
			_ = answer.Body.Close()
			t.Fatalf("status %s", answer.Status)
		}
		if !strings.Contains(err.Error(), "stream error") {
			t.Errorf("it ended with %v", err)
		}
	}
	answer, err := client.Post(url+infoPath, jsonType, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.ProtoMajor != 2 || answer.StatusCode != http.StatusOK {
		t.Errorf("%s %s", answer.Proto, answer.Status)
	}
}

// A hanging call ends when its client leaves, also one that it sent a body in.
func TestHangOverANetwork(t *testing.T) {
	for _, by := range []int{plain, secure, http2} {
		s, url, client := served(t, by)
		inject(t, s, sandbox.Fault{Effect: sandbox.Hang, Count: 1})
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/signdoc/pades", io.LimitReader(neverEnding{}, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for len(s.Faults()) > 0 { // until the call is there
				runtime.Gosched()
			}
			cancel()
		}()
		answer, err := client.Do(r)
		if err == nil {
			_ = answer.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		// That the server can be closed shows that the handler has ended.
	}
}

// So does one whose client leaves in the middle of its body.
func TestHangOfHalfARequest(t *testing.T) {
	s, url, _ := served(t, plain)
	inject(t, s, sandbox.Fault{Effect: sandbox.Hang, Count: 1})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "POST "+infoPath+" HTTP/1.1\r\nHost: sandbox\r\nContent-Length: 10\r\n\r\nhalf")
	for err == nil && len(s.Faults()) > 0 {
		runtime.Gosched()
	}
	if closing := conn.Close(); err != nil || closing != nil {
		t.Fatal(err, closing)
	}
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }

// An error can be had at every endpoint, as JSON with its code.
func TestStatusAtEachEndpoint(t *testing.T) {
	s := newServer(t, sandbox.Options{})
	inject(t, s, sandbox.Fault{Effect: sandbox.Status, Status: 503, Code: "some_code"})
	paths, methods := s.Endpoints()
	for _, path := range paths {
		if path == "/" || strings.HasPrefix(path, "/sandbox/") {
			continue
		}
		for _, method := range methods[path] {
			w := send(t, s, call{method: method, target: path})
			if w.Code != 503 || !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), `"some_code"`) {
				t.Errorf("%s %s: status %d, body %q", method, path, w.Code, w.Body)
			}
		}
	}
}
