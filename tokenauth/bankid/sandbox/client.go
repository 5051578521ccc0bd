package sandbox

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
)

// A client is a client of BankID OIDC that authenticates with a secret.
type client struct {
	id, secret string
}

// authenticate checks the client authentication of a token request: exactly
// one method, client_secret_basic or client_secret_post (RFC 6749, section
// 2.3). Its errors are Keycloak's.
func (c client) authenticate(r *http.Request, form url.Values) *oauthError {
	header := r.Header.Values("Authorization")
	methods := len(header)
	for _, name := range []string{"client_secret", "client_assertion"} {
		if form.Get(name) != "" {
			methods++
		}
	}
	if methods > 1 {
		return badRequest("invalid_request", "More than one client authentication method")
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if len(header) == 1 {
		user, password, ok := r.BasicAuth()
		switch {
		case !ok && id == "":
			return &oauthError{
				status: http.StatusUnauthorized, code: "invalid_client",
				description: "Invalid client or Invalid client credentials",
				challenge:   `Basic realm="sandbox"`,
			}
		case !ok:
			return invalidSecret()
		}
		var errID, errSecret error
		user, errID = url.QueryUnescape(user)
		secret, errSecret = url.QueryUnescape(password)
		if errID != nil || errSecret != nil {
			return invalidSecret()
		}
		if id != "" && id != user {
			return badRequest("invalid_request", "client_id differs from that of the Authorization header")
		}
		id = user
	}
	switch {
	case id == "":
		return badRequest("invalid_client", "Missing client_id parameter")
	case !equal(id, c.id):
		return &oauthError{status: http.StatusUnauthorized, code: "invalid_client", description: "Invalid client or Invalid client credentials"}
	case !equal(secret, c.secret):
		return invalidSecret()
	}
	return nil
}

func invalidSecret() *oauthError {
	return &oauthError{status: http.StatusUnauthorized, code: "unauthorized_client", description: "Invalid client or Invalid client credentials"}
}

// equal compares in a time that tells neither content nor length.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
