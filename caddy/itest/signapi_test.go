package itest

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A signAPI simulates BankID's eSign APIs. It accepts a call only with a token that the
// issuer signed for the gateway's client. The response is what it received.
type signAPI struct {
	url    string
	tokens tokenVerifier

	mu       sync.Mutex
	calls    int
	accepted []string // accepted tokens, each once
}

// received is a call that reached the API.
type received struct {
	Method, URI, ContentType, Body string

	Scopes string // of the token, sorted
}

func startAPI(t *testing.T, issuer, client string) *signAPI {
	t.Helper()
	api := &signAPI{tokens: newTokenVerifier(t, issuer, client)}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	api.url = server.URL

	// If the API accepted everything, the tests would not prove anything.
	for _, authorization := range []string{"", "Bearer x.y.z", "Bearer " + unsigned(issuer, client)} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", authorization)
		if status, _, _ := do(t, req); status != http.StatusUnauthorized {
			t.Fatalf("the API responds with %d to Authorization %q", status, authorization)
		}
	}
	api.calls = 0
	return api
}

// unsigned returns a token like Keycloak's, but without Keycloak's signature.
func unsigned(issuer, client string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." +
		enc([]byte(`{"iss":"`+issuer+`","azp":"`+client+`","exp":9999999999,"scope":"esign"}`)) + "."
}

func (api *signAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api.mu.Lock()
	api.calls++
	api.mu.Unlock()

	authorization := r.Header.Values("Authorization")
	if len(authorization) != 1 {
		http.Error(w, "want one Authorization", http.StatusUnauthorized)
		return
	}
	raw, found := strings.CutPrefix(authorization[0], "Bearer ")
	if !found {
		http.Error(w, "want a Bearer token", http.StatusUnauthorized)
		return
	}
	claims, err := api.tokens.verify(r.Context(), raw)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	api.mu.Lock()
	if !slices.Contains(api.accepted, raw) {
		api.accepted = append(api.accepted, raw)
	}
	api.mu.Unlock()

	respondReceived(w, r, claims)
}

// respondReceived responds to a call with what the API received of it.
func respondReceived(w http.ResponseWriter, r *http.Request, token tokenClaims) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(received{
		Method:      r.Method,
		URI:         r.RequestURI,
		ContentType: r.Header.Get("Content-Type"),
		Body:        string(body),
		Scopes:      strings.Join(slices.Sorted(strings.FieldsSeq(token.Scope)), " "),
	})
}

func (api *signAPI) callsSeen() int {
	api.mu.Lock()
	defer api.mu.Unlock()
	return api.calls
}

func (api *signAPI) tokensSeen() []string {
	api.mu.Lock()
	defer api.mu.Unlock()
	return slices.Clone(api.accepted)
}
