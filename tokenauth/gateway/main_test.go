package gateway_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testCredentials() (tokenauth.Credentials, error) {
	return tokenauth.Credentials{ClientID: "client", ClientSecret: tokenauth.NewSecret("secret")}, nil
}

// roundTripFunc is a function as an http.RoundTripper.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// newTestSource returns a source of server's tokens that is closed when the test ends. The
// options change its configuration.
func newTestSource(t testing.TB, server *tokenauthtest.Server, options ...func(*tokenauth.Config)) *tokenauth.Source {
	t.Helper()
	provider, err := tokenauth.NewProvider(server.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	config := tokenauth.Config{Provider: provider, Credentials: testCredentials, Scopes: []string{"esign/csc"}}
	for _, option := range options {
		option(&config)
	}
	source, err := tokenauth.NewSource(config)
	if err != nil {
		t.Fatal(err)
	}
	source.Attach(tokenauth.Runtime{Client: server.Client()})
	t.Cleanup(source.Close)
	return source
}

// getToken returns the token of source.
func getToken(t testing.TB, source *tokenauth.Source) *tokenauth.Token {
	t.Helper()
	token, err := source.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return token
}

// renew returns another token of source than rejected, which was refused with 401.
func renew(ctx context.Context, source *tokenauth.Source, rejected *tokenauth.Token) *tokenauth.Token {
	token, _ := source.Renew(ctx, rejected, http.StatusUnauthorized)
	return token
}

// wantBearer fails the test unless token carries value.
func wantBearer(t *testing.T, token *tokenauth.Token, value string) {
	t.Helper()
	if token == nil {
		t.Fatalf("got no token, want %q", value)
	}
	if got := token.Authorization(); got != "Bearer "+value {
		t.Fatalf("Authorization is %q, want %q", got, "Bearer "+value)
	}
}

// wantState fails the test unless source has the state want, and returns its status.
func wantState(t *testing.T, source *tokenauth.Source, want tokenauth.State) tokenauth.Status {
	t.Helper()
	status := source.Status()
	if status.State != want {
		t.Errorf("the state is %s, want %s", status.State, want)
	}
	return status
}

// wantRequests fails the test unless server received n token requests so far.
func wantRequests(t *testing.T, server *tokenauthtest.Server, n int) {
	t.Helper()
	synctest.Wait()
	if got := len(server.TokenRequests()); got != n {
		t.Fatalf("%d token requests so far, want %d", got, n)
	}
}

// advance lets d pass in the bubble of the test, and waits for the work that is due by then.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// respondToken responds with the same token every time.
func respondToken(token string, expiresIn any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, token, expiresIn) }
}

// respondError responds with an error every time.
func respondError(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, status, code) }
}
