package sandbox

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// A Client is a client of BankID OIDC. It authenticates with its secret
// (client_secret_basic, client_secret_post), with one of its keys
// (private_key_jwt), or with either if it has both.
type Client struct {
	// ID is the client_id.
	ID string

	// Secret is the shared secret. If it is empty, there is none.
	Secret string

	// Keys are the public keys that the client registered. Each must have kty,
	// kid, alg and "use": "sig", as BankID asks, see
	// https://developer.bankid.no/bankid-oidc-provider/core-concepts/private-key-jwt.
	// What tokenauth.Key.Public returns is one. [ParseKeys] reads them from JSON.
	Keys jose.JSONWebKeySet

	// DPoPRequired says that the client gets bound tokens only, and therefore
	// must send a DPoP proof with each token request.
	DPoPRequired bool

	// Scopes are what the client may ask for. Default: esign/b2b if DPoP is
	// required, and otherwise all the others.
	Scopes []string
}

// builtinClients are the clients that a sandbox has in any case.
func (o Options) builtinClients() []Client {
	return []Client{
		{ID: B2BClientID, Secret: B2BClientSecret, DPoPRequired: true},
		{ID: o.ClientID, Secret: o.ClientSecret},
	}
}

// bearerScopes are those of the APIs that take bearer tokens.
func bearerScopes() []string {
	return []string{bankid.ScopeESign, bankid.ScopeCSC, bankid.ScopeQTSA, bankid.ScopeNNIN, bankid.ScopeReadWrite}
}

// allScopes are those that the sandbox knows.
func allScopes() []string { return append(bearerScopes(), bankid.ScopeB2B) }

// clients are the clients of a sandbox.
type clients struct {
	mu    sync.RWMutex
	known map[string]Client // by client ID
}

// newClients adds further clients to the built-in ones; one with the ID of a
// built-in client takes its place.
func newClients(builtin, further []Client) (*clients, error) {
	known := make(map[string]Client)
	for _, c := range builtin {
		known[c.ID] = c.withDefaults()
	}
	seen := make(map[string]bool)
	for _, c := range further {
		if seen[c.ID] {
			return nil, fmt.Errorf("client %q is given twice", c.ID)
		}
		seen[c.ID] = true
		if err := c.validate(); err != nil {
			return nil, fmt.Errorf("client %q: %w", c.ID, err)
		}
		known[c.ID] = c.withDefaults()
	}
	return &clients{known: known}, nil
}

// get returns the client with an ID, and whether there is one.
func (c *clients) get(id string) (Client, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	client, ok := c.known[id]
	return client, ok
}

func (c Client) withDefaults() Client {
	if c.Scopes == nil {
		c.Scopes = bearerScopes()
		if c.DPoPRequired {
			c.Scopes = []string{bankid.ScopeB2B}
		}
	}
	return c
}

func (c Client) validate() error {
	switch {
	case c.ID == "":
		return errors.New("ID is empty")
	case c.Secret == "" && len(c.Keys.Keys) == 0:
		return errors.New("there is neither a secret nor a key")
	}
	for _, scope := range c.Scopes {
		if !slices.Contains(allScopes(), scope) {
			return fmt.Errorf("scope %q is unknown", scope)
		}
	}
	for i, key := range c.Keys.Keys {
		switch {
		case isPrivate(key.Key):
			return fmt.Errorf("key %d is private: register its public part only", i+1)
		case !key.Valid() || !key.IsPublic():
			return fmt.Errorf("key %d is not a public key", i+1)
		case isShortRSA(key.Key):
			return fmt.Errorf("key %d: an RSA key must have at least 2048 bits", i+1)
		case key.KeyID == "" || len(c.Keys.Key(key.KeyID)) != 1:
			return fmt.Errorf("key %d: kid is missing or not unique", i+1)
		case key.Use != "sig":
			return fmt.Errorf("key %d: use is not \"sig\"", i+1)
		case !slices.Contains(asymmetric(), jose.SignatureAlgorithm(key.Algorithm)):
			return fmt.Errorf("key %d: alg is missing or unknown", i+1)
		}
	}
	return nil
}

func isPrivate(key any) bool {
	_, ok := key.(crypto.Signer)
	return ok
}

// isShortRSA reports whether a key is shorter than RFC 7518, section 3.3, allows.
func isShortRSA(key any) bool {
	public, ok := key.(*rsa.PublicKey)
	return ok && public.N.BitLen() < 2048
}

// authenticate checks the client authentication of a token request, which must
// use exactly one method (RFC 6749, section 2.3), and returns the client. Its
// errors are Keycloak's.
func (s *Server) authenticate(r *http.Request, form url.Values) (Client, *oauthError) {
	methods := len(r.Header.Values("Authorization"))
	if form.Get("client_secret") != "" {
		methods++
	}
	assertion := form.Get("client_assertion") != "" || form.Get("client_assertion_type") != ""
	if assertion {
		methods++
	}
	switch {
	case methods > 1:
		return Client{}, badRequest("invalid_request", "More than one client authentication method")
	case assertion:
		return s.assertions.authenticate(s.clients, form)
	default:
		return s.clients.bySecret(r, form)
	}
}

// bySecret is client_secret_basic and client_secret_post.
func (c *clients) bySecret(r *http.Request, form url.Values) (Client, *oauthError) {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if r.Header.Get("Authorization") != "" {
		user, password, ok := r.BasicAuth()
		switch {
		case !ok && id == "":
			failed := unknownClient()
			failed.challenge = `Basic realm="sandbox"`
			return Client{}, failed
		case !ok:
			return Client{}, invalidSecret()
		}
		var errID, errSecret error
		user, errID = url.QueryUnescape(user)
		secret, errSecret = url.QueryUnescape(password)
		if errID != nil || errSecret != nil {
			return Client{}, invalidSecret()
		}
		if id != "" && id != user {
			return Client{}, badRequest("invalid_request", "client_id differs from that of the Authorization header")
		}
		id = user
	}
	client, ok := c.get(id)
	switch {
	case id == "":
		return Client{}, badRequest("invalid_client", "Missing client_id parameter")
	case !ok:
		return Client{}, unknownClient()
	case client.Secret == "", !equal(secret, client.Secret):
		return Client{}, invalidSecret()
	}
	return client, nil
}

func unknownClient() *oauthError {
	return &oauthError{status: http.StatusUnauthorized, code: "invalid_client", description: "Invalid client or Invalid client credentials"}
}

func invalidSecret() *oauthError {
	return &oauthError{status: http.StatusUnauthorized, code: "unauthorized_client", description: "Invalid client or Invalid client credentials"}
}

// equal compares in a time that tells neither content nor length.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
