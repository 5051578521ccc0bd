package sandbox

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// Keycloak's window for iat: a proof lives 10 s, and clocks may be 15 s
	// apart (its DPoPUtil; neither can be configured).
	proofAge   = 25 // seconds back
	proofAhead = 15 // seconds ahead

	// maxProof bounds a proof, and so the work it can make.
	maxProof = 8 << 10
)

// asymmetric lists the algorithms of proofs and client assertions: all of
// Keycloak that need no shared key.
func asymmetric() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512,
		jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
	}
}

// errProofMissing is the error of a call without a proof.
var errProofMissing = errors.New("DPoP proof is missing")

// proofClaims are the claims of a DPoP proof (RFC 9449, section 4.2).
type proofClaims struct {
	ID        string           `json:"jti"`
	Method    string           `json:"htm"`
	URL       string           `json:"htu"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
	TokenHash string           `json:"ath"`
	Nonce     string           `json:"nonce"`
}

// proofs checks DPoP proofs, for the token endpoint and for the APIs alike.
type proofs struct {
	origin      string // of the URLs that clients call
	ignoreQuery bool   // of htu
	clock       *clock
	used        *singleUse
}

func newProofs(origin string, ignoreQuery bool, clock *clock) *proofs {
	return &proofs{origin: origin, ignoreQuery: ignoreQuery, clock: clock, used: newSingleUse()}
}

// check returns the JWK thumbprint (RFC 7638) of the key that made the proof
// of a request. With a token, the proof must be for that token too. The order
// of the checks (RFC 9449, section 4.3) and the words of the errors, which are
// all for the client, are Keycloak's.
func (p *proofs) check(r *http.Request, token string) (string, error) {
	values := r.Header.Values("DPoP")
	switch {
	case len(values) == 0, len(values) == 1 && strings.TrimSpace(values[0]) == "":
		return "", errProofMissing
	case len(values) > 1, len(values[0]) > maxProof:
		return "", errors.New("DPoP header verification failure")
	}
	claims, thumbprint, err := openProof(values[0])
	if err != nil {
		return "", err
	}
	now := p.clock.now().Unix()
	switch {
	case claims.ID == "" || claims.Method == "" || claims.URL == "" || claims.IssuedAt == nil:
		return "", errors.New("DPoP mandatory claims are missing")
	case !sameURL(p.htu(claims), p.origin+r.URL.EscapedPath()):
		return "", errors.New("DPoP HTTP URL mismatch")
	case claims.Method != r.Method:
		return "", errors.New("DPoP HTTP method mismatch")
	}
	issued := int64(*claims.IssuedAt)
	switch {
	case issued > now+proofAhead, issued < now-proofAge:
		return "", errors.New("DPoP proof is not active")
	case token != "" && claims.TokenHash == "":
		return "", errors.New("No access token hash in DPoP proof") //nolint:staticcheck // Keycloak's words
	case token != "" && claims.TokenHash != tokenHash(token):
		return "", errors.New("DPoP proof access token hash mismatch")
	case !p.used.use(claims.ID+"\n"+claims.URL, now, issued+proofAge):
		return "", errors.New("DPoP proof has already been used")
	}
	return thumbprint, nil
}

// htu is the URL that a proof is for, as far as it counts.
func (p *proofs) htu(claims *proofClaims) string {
	if !p.ignoreQuery {
		return claims.URL
	}
	before, _, _ := strings.Cut(claims.URL, "?")
	return before
}

// openProof verifies the signature of a proof with the key in its header, and
// returns the claims and the thumbprint of that key.
func openProof(proof string) (*proofClaims, string, error) {
	parsed, err := jwt.ParseSigned(proof, asymmetric())
	if _, other := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); other {
		return nil, "", errors.New("Unsupported DPoP algorithm") //nolint:staticcheck // Keycloak's words
	}
	if err != nil || len(parsed.Headers) != 1 {
		return nil, "", errors.New("DPoP header verification failure")
	}
	header := parsed.Headers[0]
	switch kind, _ := header.ExtraHeaders[jose.HeaderType].(string); {
	case kind != "dpop+jwt":
		return nil, "", errors.New("Invalid or missing type in DPoP header") //nolint:staticcheck // Keycloak's words
	case header.JSONWebKey == nil: // a private or symmetric one is an error of ParseSigned
		return nil, "", errors.New("No JWK in DPoP header") //nolint:staticcheck // Keycloak's words
	}
	thumbprint, err := header.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, "", errors.New("Unsupported key type in DPoP header") //nolint:staticcheck // Keycloak's words
	}
	var claims proofClaims
	if parsed.Claims(header.JSONWebKey, &claims) != nil {
		return nil, "", errors.New("DPoP verification failure: Invalid token signature")
	}
	return &claims, base64.RawURLEncoding.EncodeToString(thumbprint), nil
}

// tokenHash is the ath of a token (RFC 9449, section 4.2).
func tokenHash(token string) string {
	hash := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// sameURL compares the htu of a proof with the URL of a request as RFC 3986
// says in sections 6.2.2.1 and 6.2.3: case of scheme and host, and a default
// port, make no difference. Paths are compared byte for byte.
func sameURL(htu, want string) bool {
	a, ok := normalURL(htu)
	if !ok {
		return false
	}
	b, ok := normalURL(want)
	return ok && a == b
}

func normalURL(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(s, "?#") {
		return "", false
	}
	host := u.Hostname()
	if port := u.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host = net.JoinHostPort(host, port)
	}
	return u.Scheme + "://" + strings.ToLower(host) + u.EscapedPath(), true
}
