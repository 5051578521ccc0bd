package caddyesign_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// realm is the path of the bank's issuer.
const realm = "/auth/realms/sandbox"

// A bank is a sandbox behind its own listener. It records which calls of the APIs it
// saw, and how it responded.
type bank struct {
	*httptest.Server
	sandbox *sandbox.Server
	name    string // of the test

	mu        sync.Mutex
	exchanges []*bankCall         // since the last call of seen
	tokens    []string            // the access tokens that it issued
	grants    map[string]int      // the number of tokens issued, by scope
	onCall    func(*http.Request) // changes calls of the APIs on their way; may be nil
	onIssuer  func(*http.Request) // changes requests to the issuer; may be nil
}

// A bankCall is a call that a bank saw, and its response.
type bankCall struct {
	call          string // method and request target
	authorization []string
	proof         string
	response      *httptest.ResponseRecorder
}

// newBank starts a bank.
func newBank(t *testing.T, options sandbox.Options) *bank {
	t.Helper()
	b := &bank{name: t.Name(), grants: make(map[string]int)}
	b.Server = httptest.NewUnstartedServer(b)
	options.Issuer = "http://" + b.Listener.Addr().String() + realm
	if options.SigningDelay == 0 {
		options.SigningDelay = time.Hour // orders move only when a person does something
	}
	var err error
	if b.sandbox, err = sandbox.New(options); err != nil {
		t.Fatal(err)
	}
	b.Start()
	t.Cleanup(func() {
		b.CloseClientConnections()
		b.Close()
	})
	return b
}

// ServeHTTP implements http.Handler.
func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	issuer := strings.HasPrefix(r.URL.Path, realm)
	b.mu.Lock()
	tamper := b.onCall
	if issuer {
		tamper = b.onIssuer
	}
	b.mu.Unlock()
	if tamper != nil {
		tamper(r)
	}
	var form url.Values
	if issuer {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ = url.ParseQuery(string(body))
	}
	seen := &bankCall{
		call: r.Method + " " + r.RequestURI, authorization: r.Header["Authorization"], proof: r.Header.Get("DPoP"),
		response: httptest.NewRecorder(),
	}
	b.respond(seen.response, r)
	body := seen.response.Body.Bytes()
	b.mu.Lock()
	switch {
	case !issuer:
		b.exchanges = append(b.exchanges, seen)
	case seen.response.Code == http.StatusOK && r.Method == http.MethodPost:
		var granted struct {
			Token string `json:"access_token"`
		}
		_ = json.Unmarshal(body, &granted)
		b.tokens = append(b.tokens, granted.Token)
		b.grants[form.Get("scope")]++
	}
	b.mu.Unlock()
	maps.Copy(w.Header(), seen.response.Header())
	w.WriteHeader(seen.response.Code)
	_, _ = w.Write(body)
}

// respond has the sandbox respond. It notes the response for TestResponsesOfTheSandbox in
// caddy/itest, if the environment variable ESIGN_RESPONSES names a folder, and if no fault
// is in force.
func (b *bank) respond(w *httptest.ResponseRecorder, r *http.Request) {
	dir := os.Getenv("ESIGN_RESPONSES")
	if len(b.sandbox.Faults()) > 0 {
		dir = ""
	}
	b.sandbox.ServeHTTP(w, r)
	if dir == "" {
		return
	}
	line, err := json.Marshal(map[string]any{
		"Test": b.name, "Method": r.Method, "Path": r.URL.EscapedPath(), "Status": w.Code,
		"Type": w.Header().Get("Content-Type"), "Location": w.Header().Get("Location"), "Body": w.Body.Bytes(),
	})
	if err != nil {
		panic(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "journeys"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// token issues a token that the gateway does not know.
func (b *bank) token(t *testing.T, scope string) string {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "scope": {scope},
		"client_id": {sandbox.ClientID}, "client_secret": {sandbox.ClientSecret},
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, realm+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b.sandbox.ServeHTTP(w, r)
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &granted); err != nil || granted.Token == "" {
		t.Fatalf("the response to the token request is %d %s", w.Code, w.Body)
	}
	return granted.Token
}

// seen returns the calls of the APIs since the last call of seen.
func (b *bank) seen() []*bankCall {
	b.mu.Lock()
	defer b.mu.Unlock()
	exchanges := b.exchanges
	b.exchanges = nil
	return exchanges
}

// issued returns the access tokens that were issued.
func (b *bank) issued() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.tokens)
}

// granted returns how many token requests for scope were granted.
func (b *bank) granted(scope string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.grants[scope]
}

// tamper makes f change calls of the APIs on their way.
func (b *bank) tamper(f func(*http.Request)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onCall = f
}

// tamperOnce makes f change the next call of an API.
func (b *bank) tamperOnce(f func(*http.Request)) {
	var once sync.Once
	b.tamper(func(r *http.Request) { once.Do(func() { f(r) }) })
}

// tamperIssuer makes f change requests to the issuer on their way.
func (b *bank) tamperIssuer(f func(*http.Request)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onIssuer = f
}
