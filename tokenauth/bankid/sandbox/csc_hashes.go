package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
)

// maxHashes is how many hashes one call may carry; see
// https://developer.bankid.no/bankid-esign-provider/api-specification-changelog/.
const maxHashes = 50

// The OIDs of the only hash algorithm (RFC 5754, section 2.2) and of the only signature
// algorithm (RFC 5758, section 3.2).
const (
	sha256OID       = "2.16.840.1.101.3.4.2.1"
	ecdsaWithSHA256 = "1.2.840.10045.4.3.2"
)

// checkHashAlgorithm checks a hashAlgorithmOID, which is required.
func checkHashAlgorithm(oid string) *cscError {
	switch oid {
	case sha256OID:
		return nil
	case "":
		return invalidCSC("Missing (or invalid type) string parameter hashAlgorithmOID")
	default:
		return &cscError{http.StatusBadRequest, "invalid_hash_algorithm", "hashAlgorithmOID is not that of SHA-256, " + sha256OID}
	}
}

// checkSignAlgo checks a signAlgo, which is required.
func checkSignAlgo(oid string) *cscError {
	switch oid {
	case ecdsaWithSHA256:
		return nil
	case "":
		return invalidCSC("Missing (or invalid type) string parameter signAlgo")
	default:
		return &cscError{http.StatusBadRequest, "invalid_signature_format", "signAlgo is not that of ECDSA with SHA-256, " + ecdsaWithSHA256}
	}
}

// readHashes reads the base64 of hashes.
func readHashes(encoded []string) ([][]byte, *cscError) {
	switch {
	case encoded == nil:
		return nil, invalidCSC("Missing (or invalid type) array parameter hashes")
	case len(encoded) == 0:
		return nil, invalidCSC("Empty hash array")
	case len(encoded) > maxHashes:
		return nil, invalidCSC("The array hashes has more than %d elements", maxHashes)
	}
	values := make([][]byte, len(encoded))
	for i, text := range encoded {
		value, err := base64.StdEncoding.Strict().DecodeString(text)
		switch {
		case err != nil:
			return nil, invalidCSC("Invalid Base64 hash string parameter")
		// The decoder passes over line breaks, which would make a text longer.
		case len(value) != sha256.Size, len(text) != base64.StdEncoding.EncodedLen(sha256.Size):
			return nil, invalidCSC("Invalid digest value length")
		}
		values[i] = value
	}
	return values, nil
}

// A fingerprint stands for hashes, whatever their order.
type fingerprint [sha256.Size]byte

func newFingerprint(hashes [][]byte) fingerprint {
	return sha256.Sum256(bytes.Join(slices.SortedFunc(slices.Values(hashes), bytes.Compare), nil))
}
