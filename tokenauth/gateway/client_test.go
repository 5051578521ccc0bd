package gateway_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A refusingAPI refuses the first token.
type refusingAPI struct {
	mu   sync.Mutex
	sent []string // method, path, Authorization and the length of the body
}

// ServeHTTP implements http.Handler.
func (a *refusingAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	token := r.Header.Get("Authorization")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent = append(a.sent, strings.Join([]string{r.Method, r.URL.Path, token, sizes[len(body)]}, " "))
	if token == "Bearer token-1" {
		w.WriteHeader(http.StatusUnauthorized)
	} else {
		http.Redirect(w, r, "/v1/signdoc/jwks", http.StatusSeeOther)
	}
}

// sizes has the sizes of the bodies in this test.
var sizes = map[int]string{gateway.DefaultRequestBuffer: "the default", gateway.DefaultRequestBuffer + 1: "more"}

// newCaller returns a client of SignDoc at a refusingAPI.
func newCaller(t *testing.T) (*http.Client, string, *refusingAPI) {
	t.Helper()
	issuer := tokenauthtest.NewServer()
	source, err := tokenauth.NewSource(tokenauth.Config{Issuer: issuer.Issuer(), Credentials: testCredentials})
	if err != nil {
		t.Fatal(err)
	}
	source.Attach(tokenauth.Runtime{Client: issuer.Client()})
	t.Cleanup(source.Close)
	api := new(refusingAPI)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	client, err := bankid.Client(bankid.Environment{ESign: server.URL}, bankid.SignDoc, source)
	if err != nil {
		t.Fatal(err)
	}
	return client, server.URL, api
}

// post makes a sign order of the given size and returns the status of the response.
func post(t *testing.T, client *http.Client, origin string, size int) int {
	t.Helper()
	res, err := client.Post(origin+"/v1/signdoc/pades", "application/pdf", strings.NewReader(strings.Repeat("x", size)))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// A client holds a body of 1 MiB for a retry, and follows no redirect.
func TestClientMakesTheCallsOfATable(t *testing.T) {
	client, origin, api := newCaller(t)
	if got := post(t, client, origin, gateway.DefaultRequestBuffer); got != http.StatusSeeOther {
		t.Errorf("status is %d", got)
	}
	want := "POST /v1/signdoc/pades Bearer token-1 the default, POST /v1/signdoc/pades Bearer token-2 the default"
	if got := strings.Join(api.sent, ", "); got != want {
		t.Errorf("the API got %s, want %s", got, want)
	}
	for _, target := range []string{origin + "/v1/signdoc/other", "https://other.test/v1/signdoc/pades"} {
		res, err := client.Get(target)
		if err == nil {
			res.Body.Close()
		}
		if _, ok := errors.AsType[*gateway.CallError](err); !ok {
			t.Errorf("%s: error is %v, want a CallError", target, err)
		}
	}
	if len(api.sent) != 2 {
		t.Errorf("the API got %v", api.sent)
	}
}

func TestClientSendsLargerBodiesOnce(t *testing.T) {
	for name, test := range map[string]struct {
		buffer int64
		size   int
	}{
		"default":  {0, gateway.DefaultRequestBuffer + 1},
		"negative": {-1, gateway.DefaultRequestBuffer},
	} {
		client, origin, api := newCaller(t)
		client.Transport.(*gateway.Transport).RequestBuffer = test.buffer
		if got := post(t, client, origin, test.size); got != http.StatusUnauthorized || len(api.sent) != 1 {
			t.Errorf("%s: status is %d, and the API got %v", name, got, api.sent)
		}
	}
}

func TestClientNeedsAnOriginAndValidCalls(t *testing.T) {
	for want, test := range map[string]struct {
		origin string
		calls  []gateway.Call
	}{
		"must not have a path": {"https://api.example/v1", nil},
		"must be https":        {"http://api.example", nil},
		"unknown kind":         {"https://api.example", []gateway.Call{{Method: "GET", Path: "/x"}}},
	} {
		if _, err := gateway.NewClient(test.origin, test.calls, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}
