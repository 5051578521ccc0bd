package itest

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// proofAge is by how much the time of a proof may differ from now, in both directions.
const proofAge = 30 * time.Second

// A proof is a DPoP proof with a valid signature of the key in it (RFC 9449 section 4.2).
type proof struct {
	thumbprint string // of its key (RFC 7638)

	ID     string `json:"jti"`
	Method string `json:"htm"`
	URL    string `json:"htu"`
	Issued int64  `json:"iat"`
	Access string `json:"ath"` // hash of the access token
	Nonce  string `json:"nonce"`
}

// parseProof reads a proof with the algorithm and makes the checks that do not need its
// request (RFC 9449 section 4.3, numbers 2 to 7).
func parseProof(compact string, alg jose.SignatureAlgorithm) (proof, error) {
	var p proof
	signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return p, err
	}
	header := signed.Signatures[0].Protected
	if typ := header.ExtraHeaders[jose.HeaderType]; typ != "dpop+jwt" {
		return p, fmt.Errorf("typ is %v", typ)
	}
	key := header.JSONWebKey
	if key == nil || !key.Valid() || !key.IsPublic() {
		return p, errors.New("jwk is no public key")
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return p, err
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return p, err
	}
	p.thumbprint = base64.RawURLEncoding.EncodeToString(sum)
	if p.ID == "" {
		return p, errors.New("no jti")
	}
	return p, nil
}

// checkFor checks that the proof is recent, and for a request with the method, the target
// and the access token (RFC 9449 section 4.3, numbers 8, 9, 11 and 12).
func (p proof) checkFor(method, target, accessToken string, token tokenClaims) error {
	if p.Method != method {
		return fmt.Errorf("htm is %q, want %q", p.Method, method)
	}
	if p.URL != target {
		return fmt.Errorf("htu is %q, want %q", p.URL, target)
	}
	if age := time.Since(time.Unix(p.Issued, 0)); age.Abs() > proofAge {
		return fmt.Errorf("iat is %v ago", age)
	}
	if sum := sha256.Sum256([]byte(accessToken)); p.Access != base64.RawURLEncoding.EncodeToString(sum[:]) {
		return fmt.Errorf("ath is %q: not the hash of the access token", p.Access)
	}
	if p.thumbprint != token.Confirmation.Thumbprint {
		return fmt.Errorf("the thumbprint of jwk is %s, the token is bound to %q", p.thumbprint, token.Confirmation.Thumbprint)
	}
	return nil
}
