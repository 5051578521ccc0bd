package sandbox

import (
	"errors"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// assertionType is the only client_assertion_type (RFC 7523, section 2.2).
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	// Keycloak's defaults: how many seconds an assertion lives at most, and how
	// many two clocks may be apart.
	assertionLife = 60
	assertionSkew = 15
)

// assertions checks client assertions, the JWTs of private_key_jwt, as
// Keycloak's AbstractJWTClientValidator does: in its order, with its words.
type assertions struct {
	audiences []string // one of them must be the only one of an assertion
	clock     *clock
	used      *singleUse
}

func newAssertions(issuer string, clock *clock) *assertions {
	return &assertions{audiences: []string{issuer, issuer + tokenPath}, clock: clock, used: newSingleUse()}
}

// authenticate returns the client that made the assertion of a token request.
func (a *assertions) authenticate(known *clients, form url.Values) (Client, *oauthError) {
	switch {
	case form.Get("client_assertion_type") == "":
		return Client{}, badAssertion("Parameter client_assertion_type is missing")
	case form.Get("client_assertion_type") != assertionType:
		return Client{}, badAssertion("Parameter client_assertion_type is not '" + assertionType + "'")
	case form.Get("client_assertion") == "":
		return Client{}, badAssertion("client_assertion parameter missing")
	}
	parsed, err := jwt.ParseSigned(form.Get("client_assertion"), asymmetric())
	if _, other := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); other {
		return Client{}, badAssertion("Invalid signature algorithm")
	}
	var claims jwt.Claims
	// Whose assertion it is must be known before its signature can be verified.
	if err != nil || len(parsed.Headers) != 1 || parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		return Client{}, badAssertion("Client authentication with signed JWT failed: it is not a signed JWT")
	}
	switch id := form.Get("client_id"); {
	case claims.Subject == "":
		return Client{}, badAssertion("Token sub claim is required")
	case id != "" && id != claims.Subject:
		return Client{}, badAssertion("client_id parameter does not match sub claim")
	case claims.Issuer != claims.Subject:
		return Client{}, badAssertion("Issuer mismatch. The issuer should match the subject")
	}
	c, ok := known.get(claims.Subject)
	if !ok {
		return Client{}, unknownClient()
	}
	header := parsed.Headers[0]
	// validate sees to it that a kid is unique and has an algorithm.
	keys := c.Keys.Key(header.KeyID)
	switch {
	case header.KeyID == "" || len(keys) == 0:
		return Client{}, badAssertion("Unable to load public key")
	case keys[0].Algorithm != header.Algorithm:
		return Client{}, badAssertion("Invalid signature algorithm")
	case parsed.Claims(keys[0], &claims) != nil:
		return Client{}, badAssertion("Client authentication with signed JWT failed: Signature on JWT token failed validation")
	}
	if failed := a.check(claims); failed != nil {
		return Client{}, failed
	}
	return c, nil
}

// check checks what a verified assertion claims, and uses it up.
func (a *assertions) check(claims jwt.Claims) *oauthError {
	switch {
	case !slices.ContainsFunc(claims.Audience, func(audience string) bool { return slices.Contains(a.audiences, audience) }):
		return badAssertion("Invalid token audience")
	case len(claims.Audience) > 1:
		return badAssertion("Multiple audiences not allowed")
	case claims.Expiry == nil:
		return badAssertion("Token exp claim is required")
	}
	now, last := a.clock.now().Unix(), int64(*claims.Expiry)
	switch {
	case last <= now, claims.NotBefore != nil && int64(*claims.NotBefore) > now+assertionSkew:
		return badAssertion("Token is not active")
	case claims.IssuedAt == nil && last-now > assertionLife:
		return badAssertion("Token expiration is too far in the future and iat claim not present in token")
	}
	if claims.IssuedAt != nil {
		issued := int64(*claims.IssuedAt)
		switch {
		case issued-assertionSkew > now:
			return badAssertion("Token was issued in the future")
		case now > issued+assertionLife:
			return badAssertion("Token was issued too far in the past to be used now")
		}
		last = min(last, issued+assertionLife) // from then on it is refused anyway
	}
	switch {
	case claims.ID == "":
		return badAssertion("Token jti claim is required")
	case !a.used.use(claims.ID, now, last):
		return badAssertion("Token reuse detected")
	}
	return nil
}

func badAssertion(reason string) *oauthError { return badRequest("invalid_client", reason) }
