package tokenauth_test

import (
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

func TestCheckAudience(t *testing.T) {
	for _, audience := range []string{"https://issuer.test/realm", "https://issuer.test/realm/token", "urn:example:provider", "provider"} {
		if err := tokenauth.CheckAudience(audience); err != nil {
			t.Errorf("%s: %v", audience, err)
		}
	}
	for _, audience := range []string{"https://issuer.test/a realm", "://issuer.test", ":", "issuer one", "https://[", "https://issuer.test/\n", "https://isüer.test"} {
		if err := tokenauth.CheckAudience(audience); err == nil {
			t.Errorf("%q is taken for an audience", audience)
		}
	}
}
