package itest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

const (
	churnLife = 5 * time.Second
	// churnLeeway is the time before the expiry of such a token in which it is no
	// longer sent.
	churnLeeway = churnLife / 10
)

// A churnModel is an issuer and an API that know which tokens are valid for which
// calls.
type churnModel struct {
	t      *testing.T
	begin  time.Time
	issuer *tokenauthtest.Server
	api    *httptest.Server

	loading, loaded atomic.Int64 // generations of the second client: the newest that may be used, and the newest that must be
	secrets         atomic.Int64
	given           atomic.Int64
	failed          atomic.Int64
	refused         atomic.Int64
	late            atomic.Int64

	mu     sync.Mutex
	secret string
	tokens map[string]*churnToken
	calls  map[string]bool // the calls that arrived
}

// A churnToken is a token that was issued to a client.
type churnToken struct {
	client    string
	asked     time.Duration // when it was requested
	delivered time.Duration // 0 before it is delivered
}

// newChurnModel starts the issuer and the API.
func newChurnModel(t *testing.T) *churnModel {
	m := &churnModel{t: t, begin: time.Now(), issuer: tokenauthtest.NewHTTPServer(), tokens: make(map[string]*churnToken), calls: make(map[string]bool)}
	m.api = httptest.NewServer(http.HandlerFunc(m.serveAPI))
	m.issuer.HandleToken(m.serveToken)
	m.issuer.HandleDiscovery(func(w http.ResponseWriter, r *http.Request) {
		if !m.fail(w) {
			tokenauthtest.WriteJSON(w, http.StatusOK, m.issuer.Document())
		}
	})
	return m
}

// now returns the time since the beginning.
func (m *churnModel) now() time.Duration { return time.Since(m.begin) }

// rotate makes secret the only valid one.
func (m *churnModel) rotate(secret string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secret = secret
	m.secrets.Add(1)
}

// fail fails half of the responses, and reports whether it failed this one.
func (m *churnModel) fail(w http.ResponseWriter) bool {
	fault := rand.IntN(8)
	if fault > 3 {
		return false
	}
	m.failed.Add(1)
	switch fault {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
	case 1:
		panic(http.ErrAbortHandler)
	case 2:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case 3:
		_, _ = io.WriteString(w, `{"access_token":"broken","token_type":"bearer","expires_in":`)
	}
	return true
}

// serveToken is the token endpoint.
func (m *churnModel) serveToken(w http.ResponseWriter, r *http.Request) {
	asked := m.now()
	client, password, _ := r.BasicAuth()
	password, _ = url.QueryUnescape(password)
	m.mu.Lock()
	good := password == m.secret
	m.mu.Unlock()
	switch {
	case !good:
		m.refused.Add(1)
		tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
	case !m.fail(w):
		token := fmt.Sprintf("token-%d", m.given.Add(1))
		given := &churnToken{client: client, asked: asked}
		m.mu.Lock()
		m.tokens[token] = given
		m.mu.Unlock()
		tokenauthtest.WriteToken(w, token, int(churnLife/time.Second))
		_ = http.NewResponseController(w).Flush()
		m.mu.Lock()
		given.delivered = m.now()
		m.mu.Unlock()
	}
}

// serveAPI is the API. It checks the token of a call. After a while, it responds with
// the call's name.
func (m *churnModel) serveAPI(w http.ResponseWriter, r *http.Request) {
	now, last := m.now(), m.loading.Load()
	query := r.URL.Query()
	id := query.Get("call")
	nanoseconds, _ := strconv.ParseInt(query.Get("start"), 10, 64)
	start := time.Duration(nanoseconds)
	first, _ := strconv.ParseInt(query.Get("generation"), 10, 64)
	body, err := io.ReadAll(r.Body)
	if err != nil || (r.Method == http.MethodPost && string(body) != id) {
		m.t.Errorf("the body of call %s is %q, %v", id, body, err)
	}
	m.mu.Lock()
	twice := m.calls[id]
	m.calls[id] = true
	token := m.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	m.mu.Unlock()
	switch {
	case twice && r.Method != http.MethodGet:
		m.t.Errorf("%s %s arrived twice", r.Method, r.URL.Path)
	case token == nil:
		m.t.Errorf("%s %s arrived without a token that was given", r.Method, r.URL.Path)
	case !slices.Contains(clientsOf(r.URL.Path, first, last), token.client):
		m.t.Errorf("%s %s arrived with a token of %s", r.Method, r.URL.Path, token.client)
	case start >= token.asked+churnLife-churnLeeway:
		// However long the call takes: when it was made, the token must not be sent any
		// more.
		m.t.Errorf("%s %s was made %v after its token was asked for", r.Method, r.URL.Path, start-token.asked)
	case now >= token.asked+churnLife:
		m.late.Add(1) // the call took longer than the leeway
	}
	select {
	case <-time.After(time.Duration(rand.Int64N(int64(time.Second)))):
	case <-r.Context().Done():
	}
	_, _ = io.WriteString(w, id)
}

// arrived reports whether a call arrived.
func (m *churnModel) arrived(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[id]
}

// hadToken reports whether every client that the call may have used had a token for the
// whole time between start and end.
func (m *churnModel) hadToken(path string, first, last int64, start, end time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	with := make(map[string]bool)
	for _, token := range m.tokens {
		// On a slow machine, the gateway counts from a time clearly before asked, so
		// there is a second leeway.
		if token.delivered > 0 && token.delivered < start && end < token.asked+churnLife-2*churnLeeway {
			with[token.client] = true
		}
	}
	for _, client := range clientsOf(path, first, last) {
		if !with[client] {
			return false
		}
	}
	return true
}

// clientsOf returns the clients that a call may have used, which was made after
// generation first had been loaded and before last was loaded. The old configuration
// may still serve an open connection, even if a new one is loaded already.
func clientsOf(path string, first, last int64) []string {
	if !strings.HasPrefix(path, "/csc/") {
		return []string{"first"}
	}
	var clients []string
	for generation := max(first-1, 1); generation <= last; generation++ {
		clients = append(clients, fmt.Sprintf("second-%d", generation))
	}
	return clients
}
