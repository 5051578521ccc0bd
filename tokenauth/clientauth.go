package tokenauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// An AuthMethod is a client authentication method of the token endpoint, by
// its registered name (OpenID Connect Core 1.0 section 9).
type AuthMethod string

// The client authentication methods.
const (
	ClientSecretBasic AuthMethod = "client_secret_basic"
	ClientSecretPost  AuthMethod = "client_secret_post"
	PrivateKeyJWT     AuthMethod = "private_key_jwt"
)

// AuthMethods lists the methods that a Source can use, the preferred method first.
func AuthMethods() []AuthMethod {
	return []AuthMethod{PrivateKeyJWT, ClientSecretBasic, ClientSecretPost}
}

// Credentials identify a client at the token endpoint, by a secret or by a key.
type Credentials struct {
	ClientID     string // as registered (client_id)
	ClientSecret Secret // as registered, not encoded; empty if there is a Key
	Key          *Key   // signs client assertions (private_key_jwt)
	DPoPKey      *Key   // the key that tokens are bound to; nil: the Source generates one

	// ShareSecret seals the tokens in a Store. All processes that share tokens need the
	// same. Default: the ClientSecret or the Key. It is needed if the Key is not in
	// memory.
	ShareSecret Secret
}

// ClientSecret returns a function for Config.Credentials: those of a client with a secret,
// as registered and not encoded.
func ClientSecret(clientID, secret string) func() (Credentials, error) {
	return fixed(Credentials{ClientID: clientID, ClientSecret: NewSecret(secret)})
}

// PrivateKey returns a function for Config.Credentials: those of a client that
// authenticates with a key (private_key_jwt). GenerateKey and ParseKey make a Key.
func PrivateKey(clientID string, key *Key) func() (Credentials, error) {
	return fixed(Credentials{ClientID: clientID, Key: key})
}

// fixed returns a function that returns c.
func fixed(c Credentials) func() (Credentials, error) {
	return func() (Credentials, error) { return c, nil }
}

// equal reports whether c and other are the same credentials.
func (c Credentials) equal(other Credentials) bool {
	return c.ClientID == other.ClientID && c.ClientSecret.Equal(other.ClientSecret) &&
		c.Key.equal(other.Key) && c.DPoPKey.equal(other.DPoPKey) && c.ShareSecret.Equal(other.ShareSecret)
}

// fits reports whether c has the credential that m needs.
func (m AuthMethod) fits(c Credentials) bool { return (m == PrivateKeyJWT) == (c.Key != nil) }

// errNoMethod is the error if there is no method to use. The message goes on with the
// provider's list.
var errNoMethod = errors.New("the provider lists no client authentication method that fits the client's credentials")

// chooseMethod returns the configured method, or else the first method that fits the
// credentials and is listed by the provider. It never tries methods: that would send the
// secret twice, and double every failed login.
func chooseMethod(configured AuthMethod, c Credentials, m *Metadata) (AuthMethod, error) {
	if configured != "" {
		if !configured.fits(c) {
			return "", fmt.Errorf("the client has no credential for the authentication method %s", configured)
		}
		return configured, nil
	}
	supported := m.TokenEndpointAuthMethods
	if supported == nil {
		// OpenID Connect Discovery 1.0 section 3: the default is client_secret_basic. A
		// client with a key has agreed on private_key_jwt with the provider.
		supported = []AuthMethod{ClientSecretBasic, PrivateKeyJWT}
	}
	for _, method := range AuthMethods() {
		if method.fits(c) && slices.Contains(supported, method) {
			return method, nil
		}
	}
	return "", fmt.Errorf("%w: it lists %s", errNoMethod, excerpt(supported))
}

// authenticate adds the credentials to a token request.
func (r *tokenRequest) authenticate(ctx context.Context, header http.Header, form url.Values) error {
	c := r.credentials
	switch r.method {
	case ClientSecretBasic:
		// RFC 6749 section 2.3.1: both are form-encoded before they are joined,
		// or a colon or a plus in one of them would change its meaning.
		req := http.Request{Header: header}
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret.Reveal()))
	case ClientSecretPost:
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", c.ClientSecret.Reveal())
	case PrivateKeyJWT:
		alg, err := c.Key.algorithm(r.metadata.AssertionAlgorithms)
		if err != nil {
			return err
		}
		assertion, err := c.Key.assertion(ctx, alg, c.ClientID, r.audience, r.now())
		if err != nil {
			return err
		}
		// Optional (RFC 7521 section 4.2), but some providers do not read the client
		// from the assertion.
		form.Set("client_id", c.ClientID)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	default:
		return fmt.Errorf("unknown client authentication method '%s'", r.method)
	}
	return nil
}
