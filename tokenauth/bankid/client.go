package bankid

import (
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// Client returns an HTTP client that makes the calls of api in env, as gateway.NewClient
// does. source needs the scopes that Scopes returns for api, and for B2B its Config.DPoP.
func Client(env Environment, api API, source *tokenauth.Source) (*http.Client, error) {
	return gateway.NewClient(env.Origin(api), Calls(api), source)
}
