package tokenauth_test

import (
	"bytes"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

func TestDerive(t *testing.T) {
	key, err := tokenauth.GenerateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	pem, err := key.PrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	same, err := tokenauth.ParseKey(pem, "another kid")
	if err != nil {
		t.Fatal(err)
	}
	derive := func(c tokenauth.Credentials, purpose string) []byte {
		t.Helper()
		derived, err := c.Derive(purpose, 32)
		if err != nil || len(derived) != 32 {
			t.Errorf("%d bytes, %v", len(derived), err)
		}
		return derived
	}
	secret := func(s string) tokenauth.Credentials {
		return tokenauth.Credentials{ClientID: s, ClientSecret: tokenauth.NewSecret(s)}
	}
	if !bytes.Equal(derive(tokenauth.Credentials{Key: key}, "a"), derive(tokenauth.Credentials{Key: same}, "a")) {
		t.Error("the same private key gives two keys")
	}
	all := [][]byte{
		derive(tokenauth.Credentials{Key: key}, "a"), derive(tokenauth.Credentials{Key: key}, "b"),
		derive(secret("x"), "a"), derive(secret("x"), "b"), derive(secret("y"), "a"),
	}
	for i, one := range all {
		for _, other := range all[:i] {
			if bytes.Equal(one, other) {
				t.Errorf("key %d is one of those before it", i)
			}
		}
	}
	for _, without := range []tokenauth.Credentials{{ClientID: "x"}, {Key: new(tokenauth.Key)}} {
		if _, err := without.Derive("a", 32); err == nil {
			t.Errorf("%#v has a key", without)
		}
	}
}
