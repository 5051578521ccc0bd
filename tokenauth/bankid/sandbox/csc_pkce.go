package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
)

// The forms of PKCE's parameters (RFC 7636, sections 4.1 and 4.2). A challenge is as
// long as S256, the only method, makes it.
var (
	codeVerifierForm  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
	codeChallengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
)

// codeChallenge returns the challenge of a verifier by the method S256.
func codeChallenge(verifier string) string {
	hash := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}
