package tokenauth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

const apiOrigin = "https://api.example"

// A sentCall is a call as the API got it.
type sentCall struct {
	method, path, host  string
	authorization, body string
	proof               string
}

// An api records the calls that it gets. It is a http.RoundTripper, and does not need a
// network.
type api struct {
	respond http.HandlerFunc // default: 200

	mu    sync.Mutex
	calls []sentCall
}

// RoundTrip implements http.RoundTripper.
func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	return tokenauthtest.HandlerTransport{Handler: a}.RoundTrip(r)
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.calls = append(a.calls, sentCall{r.Method, r.URL.String(), r.Host, r.Header.Get("Authorization"), string(body), r.Header.Get("DPoP")})
	a.mu.Unlock()
	if a.respond != nil {
		a.respond(w, r)
	}
}

// recorded returns the calls so far.
func (a *api) recorded() []sentCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// accepts responds 200 to calls with token, and 401 to others.
func accepts(token string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, got, _ := strings.Cut(r.Header.Get("Authorization"), " "); got != token {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

// newClient returns the client of a new source for apiOrigin, whose calls go to base.
func newClient(t *testing.T, base http.RoundTripper, options ...func(*tokenauth.Config)) (*http.Client, *tokenauthtest.Server, *tokenauth.Source) {
	t.Helper()
	server := tokenauthtest.NewServer()
	source := newTestSource(t, server, options...)
	client, err := source.Client(apiOrigin)
	if err != nil {
		t.Fatal(err)
	}
	client.Transport.(*tokenauth.Transport).Base = base
	return client, server, source
}

func withDPoP(c *tokenauth.Config) { c.DPoP = true }

// do makes a call and returns the status of the response.
func do(t *testing.T, client *http.Client, req *http.Request) int {
	t.Helper()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Error(err)
	}
	return res.StatusCode
}

// request makes a request to the API. A body can be sent again.
func request(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	if !strings.Contains(target, "://") {
		target = apiOrigin + target
	}
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, reader)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// claims are the claims of a proof.
type claims struct {
	ID     string `json:"jti"`
	Method string `json:"htm"`
	URL    string `json:"htu"`
	Token  string `json:"ath"`
	Nonce  string `json:"nonce"`
}

// proofOf returns the claims of the proof in a call.
func proofOf(t *testing.T, proof string) (c claims) {
	t.Helper()
	parts := strings.Split(proof, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts are in the proof, want 3", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientPutsTheTokenOnACopy(t *testing.T) {
	a := new(api)
	client, _, _ := newClient(t, a)
	req := request(t, http.MethodPatch, "/orders/42?full=1", "paid")
	req.Header.Set("Authorization", "Basic other")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	want := []sentCall{{"PATCH", "/orders/42?full=1", "api.example", "Bearer token-1", "paid", ""}}
	if got := a.recorded(); !slices.Equal(got, want) {
		t.Errorf("the calls are %v, want %v", got, want)
	}
	if got := req.Header.Get("Authorization"); got != "Basic other" {
		t.Errorf("the request of the caller has the Authorization %q now", got)
	}
	if got := res.Request.Header.Get("Authorization"); got != "Basic other" {
		t.Errorf("the request of the response has the Authorization %q", got)
	}
}

// closingBody is a body that notes that it was closed.
type closingBody struct {
	io.Reader
	closed bool
}

func (c *closingBody) Close() error {
	c.closed = true
	return nil
}

func TestClientCallsNoOtherOrigin(t *testing.T) {
	a := new(api)
	client, server, _ := newClient(t, a)
	change := func(f func(*http.Request)) *http.Request {
		req := request(t, http.MethodPost, "/orders", "")
		f(req)
		return req
	}
	for name, req := range map[string]*http.Request{
		"host":       request(t, http.MethodPost, "https://api.example.evil.test/orders", ""),
		"port":       request(t, http.MethodPost, "https://api.example:8443/orders", ""),
		"scheme":     request(t, http.MethodPost, "http://api.example/orders", ""),
		"Host field": change(func(r *http.Request) { r.Host = "evil.test" }),
		"opaque":     change(func(r *http.Request) { r.URL.Opaque = "//evil.test/orders" }),
	} {
		body := &closingBody{Reader: strings.NewReader("x")}
		req.Body = body
		res, err := client.Do(req)
		if err == nil {
			res.Body.Close()
		}
		wantMisconfigured(t, "another "+name, err)
		if !strings.Contains(err.Error(), "may go to https://api.example only") {
			t.Errorf("another %s: error is %v", name, err)
		}
		if !body.closed {
			t.Errorf("another %s: the body stays open", name)
		}
	}
	if n := len(a.recorded()) + len(server.TokenRequests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	if got := do(t, client, request(t, http.MethodPost, "https://API.example:443/orders", "")); got != http.StatusOK {
		t.Errorf("another spelling of the origin: status is %d", got)
	}
}

func TestClientNeedsAnOrigin(t *testing.T) {
	source := newTestSource(t, tokenauthtest.NewServer())
	for origin, want := range map[string]string{
		"":                            "is missing",
		"api.example":                 "is not an absolute URL",
		"http://api.example":          "must be https",
		"https://api.example/v1":      "must not have a path",
		"https://api.example/":        "must not have a path",
		"https://api.example?x":       "must not have a query",
		"https://user@api.example":    "must not have user information",
		"https://api.example:8443":    "",
		"http://127.0.0.1:8080":       "",
		"https://api.example:port/v1": "is not an absolute URL",
	} {
		_, err := source.Client(origin)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("origin %q: error is %v, want %q", origin, err, want)
		}
	}
}

func TestTransportThatIsNotSetUpSendsNothing(t *testing.T) {
	origin, _ := url.Parse(apiOrigin)
	plain, _ := url.Parse("http://api.example")
	source := newTestSource(t, tokenauthtest.NewServer())
	for name, transport := range map[string]*tokenauth.Transport{
		"zero":        {},
		"no source":   {Origin: origin},
		"no origin":   {Source: source},
		"zero source": {Source: new(tokenauth.Source), Origin: origin},
		"insecure":    {Source: source, Origin: plain},
	} {
		a := new(api)
		transport.Base = a
		res, err := transport.RoundTrip(request(t, http.MethodGet, "http://api.example/x", ""))
		if name == "zero source" {
			res, err = transport.RoundTrip(request(t, http.MethodGet, "/x", ""))
		}
		if err == nil {
			res.Body.Close()
		}
		if name == "no source" {
			wantMisconfigured(t, name, err)
		}
		if err == nil || len(a.recorded()) != 0 {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestClientReturnsARedirect(t *testing.T) {
	a := &api{respond: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://api.example/elsewhere", http.StatusTemporaryRedirect)
	}}
	client, _, _ := newClient(t, a)
	if got := do(t, client, request(t, http.MethodPost, "/orders", "x")); got != http.StatusTemporaryRedirect {
		t.Errorf("status is %d", got)
	}
	if n := len(a.recorded()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// After a 401, the call goes out once more, with another token and the whole body.
func TestClientRetriesOnceAfter401(t *testing.T) {
	for name, test := range map[string]struct {
		options []func(*tokenauth.Config)
		scheme  string
	}{
		"bearer": {nil, "Bearer "},
		"DPoP":   {[]func(*tokenauth.Config){withDPoP}, "DPoP "},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{respond: accepts("token-2")}
			client, _, _ := newClient(t, a, test.options...)
			if got := do(t, client, request(t, http.MethodPost, "/orders", "paid")); got != http.StatusOK {
				t.Errorf("status is %d", got)
			}
			got := a.recorded()
			if len(got) != 2 || got[0].authorization != test.scheme+"token-1" || got[1].authorization != test.scheme+"token-2" ||
				got[0].body != "paid" || got[1].body != "paid" {
				t.Fatalf("the calls are %+v", got)
			}
			if name == "DPoP" && proofOf(t, got[0].proof).ID == proofOf(t, got[1].proof).ID {
				t.Error("the proof was sent again")
			}
		})
	}
}

func TestClientReturnsTheSecond401(t *testing.T) {
	a := &api{respond: accepts("no token")}
	client, server, _ := newClient(t, a)
	for _, calls := range []int{2, 3} { // the second call finds a token that was renewed just now
		if got := do(t, client, request(t, http.MethodGet, "/orders", "")); got != http.StatusUnauthorized {
			t.Errorf("status is %d", got)
		}
		if n := len(a.recorded()); n != calls {
			t.Errorf("%d calls so far, want %d", n, calls)
		}
	}
	if n := len(server.TokenRequests()); n != 2 {
		t.Errorf("%d token requests, want 2", n)
	}
}

// A body without GetBody is sent once. The next call gets another token.
func TestClientSendsABodyThatCannotBeReadAgainOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{respond: accepts("token-2")}
		client, _, _ := newClient(t, a)
		for i, want := range []int{http.StatusUnauthorized, http.StatusOK} {
			req := request(t, http.MethodPost, "/orders", "")
			req.Body = io.NopCloser(strings.NewReader("paid"))
			if got := do(t, client, req); got != want {
				t.Errorf("status of call %d is %d, want %d", i, got, want)
			}
			if got := a.recorded(); len(got) != i+1 || got[i].body != "paid" {
				t.Fatalf("the calls are %+v", got)
			}
			synctest.Wait() // for another token
		}
	})
}

// A call carries a proof for its own method and path, which no table needs to have.
func TestClientProvesEveryCall(t *testing.T) {
	seen := map[string]bool{}
	a := new(api)
	client, _, _ := newClient(t, a, withDPoP)
	for _, path := range []string{"/orders/42?full=1", "/orders/43", "/orders/a%2Fb"} {
		do(t, client, request(t, http.MethodGet, path, ""))
	}
	ath := sha256.Sum256([]byte("token-1"))
	for i, want := range []string{"/orders/42", "/orders/43", "/orders/a%2Fb"} {
		call := a.recorded()[i]
		proof := proofOf(t, call.proof)
		if call.authorization != "DPoP token-1" || proof.Method != "GET" || proof.URL != apiOrigin+want || proof.Token != base64.RawURLEncoding.EncodeToString(ath[:]) {
			t.Errorf("the call %+v has the proof %+v", call, proof)
		}
		if seen[proof.ID] {
			t.Error("the proof has the jti of another")
		}
		seen[proof.ID] = true
	}
}

// demandsNonce responds 401 to proofs without the nonce (RFC 9449 section 9).
func demandsNonce(nonce string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(r.Header.Get("DPoP"), ".")[1])
		var got claims
		if json.Unmarshal(raw, &got) != nil || got.Nonce != nonce {
			w.Header().Set("DPoP-Nonce", nonce)
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

func TestClientUsesTheNonceOfTheServer(t *testing.T) {
	a := &api{respond: demandsNonce("n-1")}
	client, server, _ := newClient(t, a, withDPoP)
	for _, calls := range []int{2, 3} { // the second call has the nonce from the beginning
		if got := do(t, client, request(t, http.MethodPost, "/orders/42", "paid")); got != http.StatusOK {
			t.Errorf("status is %d", got)
		}
		if got := a.recorded(); len(got) != calls || got[calls-1].body != "paid" {
			t.Fatalf("the calls are %+v, want %d", got, calls)
		}
	}
	if n := len(server.TokenRequests()); n != 1 {
		t.Errorf("%d token requests, want 1: a request for a nonce does not refuse the token", n)
	}
}

// If the body cannot be sent again, the caller gets the 401, and the next call has the nonce.
func TestClientKeepsTheNonceOfACallThatCannotBeSentAgain(t *testing.T) {
	a := &api{respond: demandsNonce("n-1")}
	client, server, _ := newClient(t, a, withDPoP)
	for i, want := range []int{http.StatusUnauthorized, http.StatusOK} {
		req := request(t, http.MethodPost, "/orders/42", "")
		req.Body = io.NopCloser(strings.NewReader("paid"))
		if got := do(t, client, req); got != want || len(a.recorded()) != i+1 {
			t.Errorf("status of call %d is %d, want %d, after %d sendings", i, got, want, len(a.recorded()))
		}
	}
	if n := len(server.TokenRequests()); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// A server that wants a nonce for every call gets no endless calls.
func TestClientGivesOneNonce(t *testing.T) {
	a := new(api)
	a.respond = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("DPoP-Nonce", fmt.Sprint("n-", len(a.recorded())))
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	client, _, _ := newClient(t, a, withDPoP)
	if got := do(t, client, request(t, http.MethodGet, "/orders/42", "")); got != http.StatusUnauthorized || len(a.recorded()) != 2 {
		t.Errorf("status is %d after %d sendings, want 401 after 2", got, len(a.recorded()))
	}
}

// If a kept connection ends as a GET is sent, net/http would send the same proof again. The
// call gets another proof instead. A POST may have been carried out, and fails.
func TestClientNeverSendsAProofTwice(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"http":          (*httptest.Server).Start,
		"https":         (*httptest.Server).StartTLS,
		"https, HTTP/2": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			a := new(api)
			a.respond = func(_ http.ResponseWriter, r *http.Request) {
				if calls := a.recorded(); r.URL.Path != "/first" && len(calls) == 2 {
					panic(http.ErrAbortHandler) // ends the connection, or the stream
				}
			}
			server := httptest.NewUnstartedServer(a)
			start(server)
			defer server.Close()
			source := newTestSource(t, tokenauthtest.NewServer(), withDPoP)
			for method, want := range map[string]int{http.MethodGet: 3, http.MethodPost: 2} {
				a.mu.Lock()
				a.calls = nil
				a.mu.Unlock()
				client, err := source.Client(server.URL)
				if err != nil {
					t.Fatal(err)
				}
				client.Transport.(*tokenauth.Transport).Base = server.Client().Transport
				if got := do(t, client, request(t, http.MethodGet, server.URL+"/first", "")); got != http.StatusOK {
					t.Fatalf("status is %d", got)
				}
				if name == "https, HTTP/2" {
					want = 2 // a reset stream is no reason for net/http to send again
				}
				res, err := client.Do(request(t, method, server.URL+"/orders/42", ""))
				if err == nil {
					res.Body.Close()
				}
				if (err == nil) != (want == 3) {
					t.Errorf("%s: error is %v", method, err)
				}
				proofs := map[string]bool{}
				for _, call := range a.recorded() {
					proofs[call.proof] = true
				}
				if len(a.recorded()) != want || len(proofs) != want {
					t.Errorf("%s: %d sendings with %d proofs, want %d", method, len(a.recorded()), len(proofs), want)
				}
			}
		})
	}
}

// retrying is a base that wants to retry every request by itself on another connection, as
// net/http does. It counts the proofs.
type retrying struct {
	proofs map[string]bool
	bodies int
}

// RoundTrip implements http.RoundTripper.
func (r *retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	r.proofs[req.Header.Get("DPoP")] = true
	if req.Body != nil {
		r.bodies++
		req.Body.Close()
	}
	trace := httptrace.ContextClientTrace(req.Context())
	for range 2 {
		conn, peer := net.Pipe()
		defer conn.Close()
		defer peer.Close()
		trace.GotConn(httptrace.GotConnInfo{Conn: conn})
	}
	if req.GetBody != nil {
		if _, err := req.GetBody(); err != nil {
			return nil, err
		}
	}
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// If the connections of a call end again and again, the call fails in the end. Every attempt
// has another proof.
func TestClientGivesUpAfterSomeRetries(t *testing.T) {
	for name, test := range map[string]struct {
		method, body string
		repeatable   bool
		attempts     int
	}{
		"GET":                           {http.MethodGet, "", true, 4},
		"POST with GetBody":             {http.MethodPost, "paid", true, 4},
		"POST with a body to read once": {http.MethodPost, "paid", false, 1},
	} {
		base := &retrying{proofs: make(map[string]bool)}
		client, _, _ := newClient(t, base, withDPoP)
		req := request(t, test.method, "/orders/42", test.body)
		if !test.repeatable {
			req.GetBody = nil
		}
		res, err := client.Do(req)
		if err == nil {
			res.Body.Close()
		}
		if !errors.Is(err, io.EOF) || len(base.proofs) != test.attempts || (test.body != "" && base.bodies != test.attempts) {
			t.Errorf("%s: error is %v after %d proofs and %d bodies, want %d", name, err, len(base.proofs), base.bodies, test.attempts)
		}
	}
}

func TestClientsShareOneToken(t *testing.T) {
	for name, options := range map[string][]func(*tokenauth.Config){"bearer": nil, "DPoP": {withDPoP}} {
		t.Run(name, func(t *testing.T) {
			a := &api{respond: accepts("token-2")} // so token-1 is refused to all at once
			client, server, _ := newClient(t, a, options...)
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					if got := do(t, client, request(t, http.MethodPut, fmt.Sprint("/orders/", i), "paid")); got != http.StatusOK {
						t.Errorf("status of call %d is %d", i, got)
					}
				})
			}
			group.Wait()
			if n := len(server.TokenRequests()); n != 2 {
				t.Errorf("%d token requests, want 2", n)
			}
		})
	}
}

// Without a token, nothing is sent, and the error says why.
func TestClientWithoutATokenSendsNothing(t *testing.T) {
	a := new(api)
	client, server, _ := newClient(t, a)
	server.HandleToken(respondError(http.StatusUnauthorized, "invalid_client"))
	body := &closingBody{Reader: strings.NewReader("x")}
	req := request(t, http.MethodPost, "/orders", "")
	req.Body = body
	res, err := client.Do(req)
	if err == nil {
		res.Body.Close()
	}
	if failure, ok := errors.AsType[*tokenauth.Error](err); !ok || failure.Cause != tokenauth.CauseRefused || failure.Hint() == "" {
		t.Errorf("error is %v, want one that says refused", err)
	}
	if len(a.recorded()) != 0 || !body.closed {
		t.Errorf("%d calls, and the body is closed: %t", len(a.recorded()), body.closed)
	}
	wantNoSecret(t, fmt.Sprintf("%v %#v", err, err))
}

func TestClientWaitsForATokenAsLongAsTheContextAllows(t *testing.T) {
	client, server, _ := newClient(t, new(api))
	server.HandleToken(hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	res, err := client.Do(request(t, http.MethodGet, "/orders", "").WithContext(ctx))
	if err == nil {
		res.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// A server can repeat the token or the proof in a response that cannot be read, which
// net/http quotes.
func TestClientErrorShowsNoToken(t *testing.T) {
	for _, field := range []string{"Authorization", "DPoP"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			words := strings.Fields(r.Header.Get(field))
			conn, out, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(out, "HTTP/1.1 %s\r\n\r\n", words[len(words)-1])
			_ = out.Flush()
		}))
		defer server.Close()
		source := newTestSource(t, tokenauthtest.NewServer(), withDPoP)
		client, err := source.Client(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		client.Transport.(*tokenauth.Transport).Base = server.Client().Transport
		res, err := client.Do(request(t, http.MethodPost, server.URL+"/orders", "x"))
		if err == nil {
			res.Body.Close()
		}
		if err == nil || strings.Contains(err.Error(), "token-1") || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("error is %v", err)
		}
	}
}
