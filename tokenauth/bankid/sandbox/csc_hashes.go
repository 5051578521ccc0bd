package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"slices"
)

// maxHashes is how many hashes one call may carry; see
// https://developer.bankid.no/bankid-esign-provider/api-specification-changelog/.
const maxHashes = 50

// OIDs of hash algorithms (RFC 5754, section 2) and of the signature algorithms
// with them (RFC 5758, section 3.2).
const (
	sha256OID = "2.16.840.1.101.3.4.2.1"
	sha384OID = "2.16.840.1.101.3.4.2.2"
	sha512OID = "2.16.840.1.101.3.4.2.3"

	ecdsaWithSHA256 = "1.2.840.10045.4.3.2"
	ecdsaWithSHA384 = "1.2.840.10045.4.3.3"
	ecdsaWithSHA512 = "1.2.840.10045.4.3.4"
)

// A hashAlgorithm is one that documents may be hashed with.
type hashAlgorithm struct {
	oid      string
	size     int    // of a hash, in bytes
	signAlgo string // OID of ECDSA with it
}

func findHashAlgorithm(oid string) (hashAlgorithm, bool) {
	switch oid {
	case sha256OID:
		return hashAlgorithm{oid, sha256.Size, ecdsaWithSHA256}, true
	case sha384OID:
		return hashAlgorithm{oid, sha512.Size384, ecdsaWithSHA384}, true
	case sha512OID:
		return hashAlgorithm{oid, sha512.Size, ecdsaWithSHA512}, true
	default:
		return hashAlgorithm{}, false
	}
}

// findSignAlgo finds the hash algorithm that belongs to a signature algorithm.
func findSignAlgo(oid string) (hashAlgorithm, bool) {
	for _, hash := range []string{sha256OID, sha384OID, sha512OID} {
		if algorithm, _ := findHashAlgorithm(hash); algorithm.signAlgo == oid {
			return algorithm, true
		}
	}
	return hashAlgorithm{}, false
}

// hashes are those of the documents to sign, all of one algorithm.
type hashes struct {
	algorithm hashAlgorithm
	values    [][]byte
}

// readHashes reads the base64 of hashes.
func readHashes(algorithm hashAlgorithm, encoded []string) (hashes, *cscError) {
	switch {
	case encoded == nil:
		return hashes{}, invalidCSC("Missing (or invalid type) array parameter hashes")
	case len(encoded) == 0:
		return hashes{}, invalidCSC("Empty hash array")
	case len(encoded) > maxHashes:
		return hashes{}, invalidCSC("The array hashes has more than %d elements", maxHashes)
	}
	values := make([][]byte, len(encoded))
	for i, text := range encoded {
		value, err := base64.StdEncoding.Strict().DecodeString(text)
		switch {
		case err != nil:
			return hashes{}, invalidCSC("Invalid Base64 hash string parameter")
		// The decoder passes over line breaks, which would make a text longer.
		case len(value) != algorithm.size, len(text) != base64.StdEncoding.EncodedLen(algorithm.size):
			return hashes{}, invalidCSC("Invalid digest value length")
		}
		values[i] = value
	}
	return hashes{algorithm: algorithm, values: values}, nil
}

// A fingerprint stands for hashes and their algorithm, whatever their order.
type fingerprint [sha256.Size]byte

func (h hashes) fingerprint() fingerprint {
	sorted := slices.SortedFunc(slices.Values(h.values), bytes.Compare)
	return sha256.Sum256(bytes.Join(append([][]byte{[]byte(h.algorithm.oid)}, sorted...), nil))
}
