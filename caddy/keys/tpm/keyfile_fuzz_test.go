package tpm

import (
	"encoding/pem"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Whatever is in a key file, it is an error, or a key whose public half can be shown.
func FuzzKeyFile(f *testing.F) {
	s := newSimulator(f)
	for _, alg := range []string{"ES256", "RS256"} {
		k := s.key(newDevice(s.socket), Key{File: s.path(alg)})
		s.make(k, alg)
		key, err := readKeyFile(k.File)
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode([]byte(key.text))
		f.Add(block.Bytes)
		f.Add(derOf(f, written{parent: -1, rsaParent: true, emptyAuth: []byte{1}, text: true}.file(key)))
		key.contents = nil
		for _, area := range []*tpm2.TPMTPublic{
			rsaWith(tpm2.TPMAlgNull, tpm2.TPMUAsymScheme{}), // the modulus is 0
			ecWith(tpm2.TPMECCNistP256, tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256),
		} {
			key.public = tpm2.New2B(*area)
			f.Add(derOf(f, written{parent: 0x40000001}.file(key)))
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := parseKeyFile(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
		if err != nil {
			return
		}
		public, algorithms, err := publicKey(key.contents)
		if err != nil {
			return
		}
		found, err := tokenauth.NewKey(&signer{new(Key), key, public}, "", algorithms...)
		if err != nil {
			return
		}
		if _, err := found.Public(); err != nil {
			t.Errorf("its public half cannot be shown: %v", err)
		}
	})
}

// derOf returns what is in a PEM block.
func derOf(t testing.TB, file []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(file)
	if block == nil {
		t.Fatal("it is not PEM")
	}
	return block.Bytes
}
