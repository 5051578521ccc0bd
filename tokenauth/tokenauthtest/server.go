// Package tokenauthtest provides an authorization server for tests, similar to
// net/http/httptest. The server responds to discovery and token requests, records the token
// requests, and can be made to give other responses.
package tokenauthtest

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
)

// Paths below the issuer.
const (
	discoveryPath = "/.well-known/openid-configuration"
	tokenPath     = "/protocol/openid-connect/token"
)

// A TokenRequest is a token request that a Server received.
type TokenRequest struct {
	Body               string      // as sent
	Form               url.Values  // the parsed body
	Header             http.Header // of the request
	Username, Password string      // of HTTP Basic, as sent: form-encoded
	Method, Path       string      // of the request
}

// A Server is an authorization server. It is safe for concurrent use.
type Server struct {
	issuer string
	http   *httptest.Server // nil if in memory

	mu          sync.Mutex
	token       http.HandlerFunc
	discovery   http.HandlerFunc
	requests    []TokenRequest
	discoveries int
}

// NewServer returns a server without a network, which can be used with testing/synctest. It
// is reached through its Client only.
func NewServer() *Server {
	return &Server{issuer: "https://issuer.test/auth/realms/test"}
}

// NewHTTPServer returns a server that listens on a loopback address. The
// caller calls Close when finished.
func NewHTTPServer() *Server {
	s := new(Server)
	s.http = httptest.NewServer(s)
	s.issuer = s.http.URL + "/auth/realms/test"
	return s
}

// NewTLSServer is like NewHTTPServer, with TLS and HTTP/2.
func NewTLSServer() *Server {
	s := new(Server)
	s.http = httptest.NewUnstartedServer(s)
	s.http.EnableHTTP2 = true
	s.http.StartTLS()
	s.issuer = s.http.URL + "/auth/realms/test"
	return s
}

// Certificate returns the certificate of a server that uses TLS, else nil.
func (s *Server) Certificate() *x509.Certificate {
	if s.http == nil {
		return nil
	}
	return s.http.Certificate()
}

// Address returns the host and port at which the server listens. It returns "" for a server
// without a network.
func (s *Server) Address() string {
	if s.http == nil {
		return ""
	}
	return s.http.Listener.Addr().String()
}

// MoveTo changes the origin in the issuer identifier to origin, where another server
// forwards requests to this one. It must be called before the server is used.
func (s *Server) MoveTo(origin string) { s.issuer = origin + "/auth/realms/test" }

// Close closes a server that listens, and its connections.
func (s *Server) Close() {
	if s.http != nil {
		s.http.CloseClientConnections()
		s.http.Close()
	}
}

// Issuer returns the issuer identifier.
func (s *Server) Issuer() string { return s.issuer }

// Client returns a client that reaches the server in memory.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: HandlerTransport{s}}
}

// HandleToken makes h respond to token requests. A nil h restores the default: a new token
// ("token-1" and so on) with a lifetime of 300 seconds. It is a token of type DPoP if the
// request has a proof, and else a bearer token.
func (s *Server) HandleToken(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = h
}

// HandleDiscovery makes h respond to discovery requests. A nil h restores the default, which is
// Document. That lists only client_secret_basic and client_secret_post. For a client with a
// key, h can respond with a Document whose "token_endpoint_auth_methods_supported" has
// private_key_jwt.
func (s *Server) HandleDiscovery(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discovery = h
}

// TokenRequests returns the token requests received so far.
func (s *Server) TokenRequests() []TokenRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]TokenRequest(nil), s.requests...)
}

// Discoveries returns the number of discovery requests received so far.
func (s *Server) Discoveries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.discoveries
}

// Document returns a new copy of the default discovery document. The caller may change it.
func (s *Server) Document() map[string]any {
	return map[string]any{
		"issuer":                                s.issuer,
		"token_endpoint":                        s.issuer + tokenPath,
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, discoveryPath):
		s.mu.Lock()
		s.discoveries++
		h := s.discovery
		s.mu.Unlock()
		if h == nil {
			h = func(w http.ResponseWriter, _ *http.Request) { WriteJSON(w, http.StatusOK, s.Document()) }
		}
		h(w, r)
	case strings.HasSuffix(r.URL.Path, tokenPath):
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		username, password, _ := r.BasicAuth()
		s.mu.Lock()
		s.requests = append(s.requests, TokenRequest{
			Body: string(body), Form: form, Header: r.Header.Clone(), Username: username, Password: password,
			Method: r.Method, Path: r.URL.Path,
		})
		n, h := len(s.requests), s.token
		s.mu.Unlock()
		if h == nil {
			h = func(w http.ResponseWriter, r *http.Request) {
				response := map[string]any{"access_token": fmt.Sprintf("token-%d", n), "token_type": "bearer", "expires_in": 300}
				if r.Header.Get("DPoP") != "" {
					response["token_type"] = "DPoP"
				}
				WriteJSON(w, http.StatusOK, response)
			}
		}
		h(w, r)
	default:
		http.NotFound(w, r)
	}
}

// WriteToken writes a successful token response. expires_in is expiresIn as JSON; if
// expiresIn is nil, it is left out.
func WriteToken(w http.ResponseWriter, token string, expiresIn any) {
	response := map[string]any{"access_token": token, "token_type": "bearer"}
	if expiresIn != nil {
		response["expires_in"] = expiresIn
	}
	WriteJSON(w, http.StatusOK, response)
}

// WriteError writes an error response of the token endpoint.
func WriteError(w http.ResponseWriter, status int, code string) {
	WriteJSON(w, status, map[string]any{"error": code, "error_description": "scripted"})
}

// WriteJSON writes a response with the given status and v as JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
