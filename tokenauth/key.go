package tokenauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// minRSABits is the least size of an RSA key, in bits (RFC 7518 section 3.3).
const minRSABits = 2048

// errNoKey is the error for a Key that is nil or zero.
var errNoKey = errors.New("there is no key")

// A Key is a private key that signs client assertions or DPoP proofs. When it is
// printed, only its thumbprint shows. GenerateKey and ParseKey make a Key in memory, and
// NewKey makes one that is elsewhere.
type Key struct {
	// This is a pointer for the same reason as in Secret.
	private    *privateKey
	public     jose.JSONWebKey // with kid, alg and use
	algorithms []string        // JWS algorithms of the key, the preferred first
	thumbprint string
}

// privateKey is the secret part of a Key: the key itself, or what signs with it.
type privateKey struct {
	crypto.Signer        // nil if the key is not in memory
	outside       Signer // nil if it is
}

// GenerateKey makes a key for the JWS algorithm alg: "ES256" (P-256) or "RS256" (RSA of
// 2048 bits; RFC 7518 section 3.1). Another alg is an error.
func GenerateKey(alg string) (*Key, error) {
	var signer crypto.Signer
	var err error
	switch alg {
	case "ES256":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		signer, err = rsa.GenerateKey(rand.Reader, minRSABits)
	default:
		return nil, fmt.Errorf("cannot generate a key for the algorithm '%s': use ES256 or RS256", alg)
	}
	if err != nil {
		return nil, err
	}
	return newKeyInMemory(signer, "")
}

// NewKey makes a Key of a private key that is not in memory. id is its kid, as for
// ParseKey. algorithms are the JWS algorithms that the signer can make signatures for, the
// preferred one first. Default: all that fit the public key. An error says what is wrong
// with the public key, or that an algorithm does not fit it.
func NewKey(signer Signer, id string, algorithms ...string) (*Key, error) {
	key, err := newKey(&privateKey{outside: signer}, signer.Public(), id)
	if err != nil {
		return nil, err
	}
	for _, alg := range algorithms {
		if !slices.Contains(key.algorithms, alg) {
			return nil, fmt.Errorf("the algorithm %.20q does not fit it: it has %v", alg, key.algorithms)
		}
	}
	if len(algorithms) > 0 {
		key.algorithms, key.public.Algorithm = algorithms, algorithms[0]
	}
	if id == NoKeyID {
		key.public.KeyID = ""
	}
	return key, nil
}

// NoKeyID is the id to give to ParseKey or NewKey for a key without a kid.
const NoKeyID = "none"

// ParseKey reads a private key in PEM (PKCS#8, SEC 1 or PKCS#1) or as a JWK (RFC
// 7517). id is its kid. If id is empty, the kid is that of the JWK, or else the
// thumbprint of the key (RFC 7638). With NoKeyID, the key has no kid, and assertions do
// not have one. Errors say what is wrong, and show nothing of the key.
func ParseKey(text Secret, id string) (*Key, error) {
	key, err := parseKey(text, id)
	if err == nil && id == NoKeyID {
		key.public.KeyID = ""
	}
	return key, err
}

// parseKey is ParseKey, with an id that is not special.
func parseKey(text Secret, id string) (*Key, error) {
	raw := strings.TrimSpace(text.Reveal())
	if strings.HasPrefix(raw, "{") {
		return parseJWK(raw, id)
	}
	block, rest := pem.Decode([]byte(raw))
	if block == nil {
		return nil, errors.New("it is neither PEM nor a JWK")
	}
	// Other blocks may stand before the key, such as EC PARAMETERS.
	for first := block; !strings.HasSuffix(block.Type, "PRIVATE KEY"); {
		if block, rest = pem.Decode(rest); block == nil {
			block = first
			break
		}
	}
	if strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("it is encrypted; store it unencrypted, readable by the server alone")
	}
	var parsed any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "TSS2 PRIVATE KEY":
		return nil, errors.New("it is a key of a TPM, which is not in this file")
	default:
		return nil, fmt.Errorf("it is a PEM block of type %.40q, not a private key", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("its %s block cannot be read", block.Type)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("it cannot sign")
	}
	return newKeyInMemory(signer, id)
}

// parseJWK reads a private key as a JWK.
func parseJWK(raw, id string) (*Key, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal([]byte(raw), &jwk); err != nil || !jwk.Valid() {
		return nil, errors.New("it is not a valid JWK")
	}
	signer, ok := jwk.Key.(crypto.Signer)
	if !ok || jwk.IsPublic() {
		return nil, errors.New("it is a JWK without a private key")
	}
	if id == "" {
		id = jwk.KeyID
	}
	key, err := newKeyInMemory(signer, id)
	if err != nil {
		return nil, err
	}
	if jwk.Algorithm != "" {
		if !slices.Contains(key.algorithms, jwk.Algorithm) {
			return nil, fmt.Errorf("its alg %.20q does not fit its kty", jwk.Algorithm)
		}
		key.algorithms = []string{jwk.Algorithm}
		key.public.Algorithm = jwk.Algorithm
	}
	return key, nil
}

// newKeyInMemory makes a Key of a private key.
func newKeyInMemory(signer crypto.Signer, id string) (*Key, error) {
	key, err := newKey(&privateKey{Signer: signer}, signer.Public(), id)
	if err != nil {
		return nil, err
	}
	if private, ok := signer.(*ecdsa.PrivateKey); ok {
		// A JWK has both parts, and no other code compares them.
		raw, err := private.Bytes()
		if err != nil {
			return nil, errors.New("its private part is not valid")
		}
		derived, err := ecdsa.ParseRawPrivateKey(private.Curve, raw)
		if err != nil || !derived.PublicKey.Equal(&private.PublicKey) {
			return nil, errors.New("its public and private parts do not belong together")
		}
	}
	return key, nil
}

// newKey makes a Key of its two parts.
func newKey(private *privateKey, part crypto.PublicKey, id string) (*Key, error) {
	algorithms, err := algorithmsOf(part)
	if err != nil {
		return nil, err
	}
	public := jose.JSONWebKey{Key: part, KeyID: id, Algorithm: algorithms[0], Use: "sig"}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	thumbprint := base64.RawURLEncoding.EncodeToString(sum)
	if id == "" {
		public.KeyID = thumbprint
	}
	return &Key{private: private, public: public, algorithms: algorithms, thumbprint: thumbprint}, nil
}

// algorithmsOf returns the JWS algorithms that fit a public key, the preferred first.
func algorithmsOf(part crypto.PublicKey) ([]string, error) {
	switch public := part.(type) {
	case *ecdsa.PublicKey:
		alg, ok := map[elliptic.Curve]string{elliptic.P256(): "ES256", elliptic.P384(): "ES384", elliptic.P521(): "ES512"}[public.Curve]
		if !ok {
			return nil, errors.New("its elliptic curve is not P-256, P-384 or P-521")
		}
		return []string{alg}, nil
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits {
			return nil, fmt.Errorf("it is an RSA key of %d bits; at least %d are needed", bits, minRSABits)
		}
		return []string{"RS256", "PS256", "RS384", "PS384", "RS512", "PS512"}, nil
	case ed25519.PublicKey:
		return []string{"EdDSA", "Ed25519"}, nil
	}
	return nil, errors.New("it is neither an EC, an RSA nor an Ed25519 key")
}

// equal reports whether k and other are the same key, with the same kid and algorithms.
func (k *Key) equal(other *Key) bool {
	if k == nil || other == nil {
		return k == other
	}
	return k.thumbprint == other.thumbprint && k.ID() == other.ID() && slices.Equal(k.algorithms, other.algorithms)
}

// ID returns the kid. It is "" if k is nil or has no kid.
func (k *Key) ID() string {
	if k == nil {
		return ""
	}
	return k.public.KeyID
}

// Thumbprint returns the SHA-256 thumbprint of the key (RFC 7638) in base64url. It is
// "" if k is nil.
func (k *Key) Thumbprint() string {
	if k == nil {
		return ""
	}
	return k.thumbprint
}

// digest returns the SHA-256 of the public key as a SubjectPublicKeyInfo, in base64url.
// Keycloak uses it as the kid of a key that it reads from a certificate or PEM file. It
// is "" if k is nil.
func (k *Key) digest() string {
	if k == nil {
		return ""
	}
	der, err := x509.MarshalPKIXPublicKey(k.public.Key)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Public returns the public key as a JWK in JSON, with alg and use, and with kid if the
// key has one. It fails if k is nil or zero.
func (k *Key) Public() ([]byte, error) {
	if k == nil || k.private == nil {
		return nil, errNoKey
	}
	return k.public.MarshalJSON()
}

// Try signs once and verifies the signature, with the preferred algorithm of k. A key in
// memory does not fail. For another key, the error says why it does not sign, or that what
// it signs does not fit the public key. It holds nothing secret.
func (k *Key) Try(ctx context.Context) error {
	if k == nil || k.private == nil {
		return errNoKey
	}
	text, err := k.sign(ctx, k.algorithms[0], []byte(`{"alg":"`+k.algorithms[0]+`"}`), struct{}{})
	if err != nil {
		return err
	}
	jws, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.algorithms[0])})
	if err != nil {
		return err
	}
	if _, err := jws.Verify(k.public.Key); err != nil {
		return errors.New("it signs, but the signature does not fit its public key")
	}
	return nil
}

// errOutside is the error if the bytes of a key are needed that is not in memory.
var errOutside = errors.New("the key is not in memory")

// pkcs8 returns the private key in PKCS#8.
func (k *Key) pkcs8() ([]byte, error) {
	switch {
	case k == nil || k.private == nil:
		return nil, errNoKey
	case k.private.outside != nil:
		return nil, errOutside
	}
	return x509.MarshalPKCS8PrivateKey(k.private.Signer)
}

// PrivatePEM returns the private key in PEM (PKCS#8). It fails if k is nil or zero, or not
// in memory.
func (k *Key) PrivatePEM() (Secret, error) {
	der, err := k.pkcs8()
	if err != nil {
		return Secret{}, err
	}
	return NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), nil
}

// errNoAlgorithm is the error if the provider supports none of the key's algorithms. The
// message goes on with these algorithms.
var errNoAlgorithm = errors.New("the provider lists none of the key's algorithms")

// algorithm returns the key's first algorithm among those that the provider supports. A
// nil list says nothing, so every algorithm is taken to be supported.
func (k *Key) algorithm(supported []string) (string, error) {
	for _, alg := range k.algorithms {
		if supported == nil || slices.Contains(supported, alg) {
			return alg, nil
		}
	}
	return "", fmt.Errorf("%w %v, but %s", errNoAlgorithm, k.algorithms, excerpt(supported))
}

// String implements fmt.Stringer.
func (k Key) String() string { return "key " + k.thumbprint }

// GoString implements fmt.GoStringer.
func (k Key) GoString() string { return k.String() }

// Format implements fmt.Formatter, for the verbs that use neither Stringer nor
// GoStringer.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }
