package tokenauth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"
)

// assertionLife is how long a client assertion is valid. It is sent at once.
const assertionLife = time.Minute

// assertionType is the client_assertion_type of a JWT (RFC 7523 section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// CheckAudience returns an error that says what is wrong with the audience of client
// assertions, or nil. The audience names the provider: it is the issuer identifier, the
// token endpoint (RFC 7523 section 3), or another string. It must not have blanks, control
// characters or characters beyond ASCII. With a colon, it must be an absolute URI (RFC 7519
// section 2).
func CheckAudience(audience string) error {
	invalid := strings.ContainsFunc(audience, func(r rune) bool { return r <= ' ' || r > '~' })
	u, err := url.Parse(audience)
	if invalid || strings.Contains(audience, ":") && (err != nil || !u.IsAbs()) {
		return errors.New("is not a URI")
	}
	return nil
}

// assertion makes a client assertion (RFC 7523 section 3). Every attempt needs a new one,
// since providers accept each jti once. It has one audience, as a string. Otherwise a
// provider that names another provider's token endpoint as its own could use the
// assertion there (CVE-2025-27370).
func (k *Key) assertion(ctx context.Context, alg, clientID, audience string, now time.Time) (string, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid,omitempty"`
		Type      string `json:"typ"`
	}{alg, k.ID(), "JWT"})
	if err != nil {
		return "", err
	}
	return k.sign(ctx, alg, header, struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		Audience  string `json:"aud"`
		ID        string `json:"jti"`
		IssuedAt  int64  `json:"iat"`
		ExpiresAt int64  `json:"exp"`
	}{clientID, clientID, audience, rand.Text(), now.Unix(), now.Add(assertionLife).Unix()})
}
