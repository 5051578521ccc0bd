package tokenauth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// These are the credentials of the tests. The secret has every kind of character that must
// be form-encoded.
const (
	testClientID     = "client:one"
	testClientSecret = "s3cr3t+/:%& æ"
)

func testCredentials() (tokenauth.Credentials, error) {
	return tokenauth.Credentials{ClientID: testClientID, ClientSecret: tokenauth.NewSecret(testClientSecret)}, nil
}

// roundTripFunc is a function as an http.RoundTripper.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// newTestProvider returns the Provider for server.
func newTestProvider(t *testing.T, server *tokenauthtest.Server) *tokenauth.Provider {
	t.Helper()
	provider, err := tokenauth.NewProvider(server.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

// newTestSource returns a source of server's tokens, with a runtime attached,
// that is closed when the test ends. The options change its configuration.
func newTestSource(t *testing.T, server *tokenauthtest.Server, options ...func(*tokenauth.Config)) *tokenauth.Source {
	t.Helper()
	source := newDetachedSource(t, server, options...)
	source.Attach(tokenauth.Runtime{Client: server.Client()})
	return source
}

// newDetachedSource is newTestSource without a runtime: none is attached any more.
func newDetachedSource(t *testing.T, server *tokenauthtest.Server, options ...func(*tokenauth.Config)) *tokenauth.Source {
	t.Helper()
	config := tokenauth.Config{
		Provider:    newTestProvider(t, server),
		Credentials: testCredentials,
		Scopes:      []string{"esign/csc"},
	}
	for _, option := range options {
		option(&config)
	}
	source, err := tokenauth.NewSource(config)
	if err != nil {
		t.Fatal(err)
	}
	source.Attach(tokenauth.Runtime{})()
	t.Cleanup(source.Close)
	return source
}

// getToken returns the token of source.
func getToken(t *testing.T, source *tokenauth.Source) *tokenauth.Token {
	t.Helper()
	token, err := source.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return token
}

// renewer is a source that renews tokens.
type renewer interface {
	Renew(ctx context.Context, rejected *tokenauth.Token, status int) (*tokenauth.Token, bool)
}

// renew returns another token of source than rejected, which was refused with 401.
func renew(ctx context.Context, source renewer, rejected *tokenauth.Token) *tokenauth.Token {
	token, _ := source.Renew(ctx, rejected, http.StatusUnauthorized)
	return token
}

// result is what Token returned.
type result struct {
	token *tokenauth.Token
	err   error
}

// startToken asks source for a token on another goroutine.
func startToken(ctx context.Context, source *tokenauth.Source) <-chan result {
	done := make(chan result, 1)
	go func() {
		token, err := source.Token(ctx)
		done <- result{token, err}
	}()
	return done
}

// getError returns the error that source returns instead of a token.
func getError(t *testing.T, source *tokenauth.Source) *tokenauth.Error {
	t.Helper()
	token, err := source.Token(t.Context())
	if token != nil {
		t.Fatalf("got a token that expires in %v, want an error", time.Until(token.ExpiresAt()))
	}
	failure, ok := errors.AsType[*tokenauth.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), want *tokenauth.Error", err, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v looks like that of the caller's context", err)
	}
	return failure
}

// wantNoSecret fails the test if text has the client secret, as it is or in the form in
// which it is sent.
func wantNoSecret(t *testing.T, text string) {
	t.Helper()
	encoded := url.QueryEscape(testClientSecret)
	for _, form := range []string{
		testClientSecret, encoded, url.PathEscape(testClientSecret),
		base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(testClientID) + ":" + encoded)),
	} {
		if strings.Contains(text, form) {
			t.Errorf("the client secret is in %q", text)
		}
	}
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

// hang does not respond until the client gives up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// respondToken responds with the same token every time.
func respondToken(token string, expiresIn any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteToken(w, token, expiresIn) }
}

// respondError responds with an error every time.
func respondError(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { tokenauthtest.WriteError(w, status, code) }
}
