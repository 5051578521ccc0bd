package tokenauth

import (
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
)

// AuthMethods lists the methods that a Source can use, the preferred first.
func AuthMethods() []AuthMethod { return []AuthMethod{ClientSecretBasic, ClientSecretPost} }

// Credentials identify a client at the token endpoint.
type Credentials struct {
	ClientID     string
	ClientSecret Secret
}

// equal reports whether c and other are the same credentials.
func (c Credentials) equal(other Credentials) bool {
	return c.ClientID == other.ClientID && c.ClientSecret.Equal(other.ClientSecret)
}

// chooseMethod returns the method to use: the configured one, else the first
// of ours that the provider lists. It is never found out by trying, which
// would send the secret twice and double every failed login.
func chooseMethod(configured AuthMethod, m *Metadata) (AuthMethod, error) {
	if configured != "" {
		return configured, nil
	}
	// OpenID Connect Discovery 1.0 section 3: client_secret_basic if omitted.
	if m.TokenEndpointAuthMethods == nil {
		return ClientSecretBasic, nil
	}
	for _, method := range AuthMethods() {
		if slices.Contains(m.TokenEndpointAuthMethods, method) {
			return method, nil
		}
	}
	return "", fmt.Errorf("the provider supports none of the client authentication methods %v", AuthMethods())
}

// authenticate adds the credentials to a token request.
func (m AuthMethod) authenticate(c Credentials, header http.Header, form url.Values) error {
	switch m {
	case ClientSecretBasic:
		// RFC 6749 section 2.3.1: both are form-encoded before they are joined,
		// or a colon or a plus in one of them would change its meaning.
		req := http.Request{Header: header}
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret.Reveal()))
	case ClientSecretPost:
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", c.ClientSecret.Reveal())
	default:
		return fmt.Errorf("unknown client authentication method '%s'", m)
	}
	return nil
}
