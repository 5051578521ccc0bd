package gateway

import (
	"fmt"
	"net/http"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// NewClient returns an HTTP client that makes the given calls to origin, by a Transport.
// origin is a scheme, host and port, as for tokenauth.ParseOrigin. Every call that carries a
// token has that of source. Another call, or one to another origin, is an error, and is not
// sent. The client does not follow redirects: it returns them as responses. It has no time
// limit: a call ends with its context. The error says what is wrong with origin, or with a
// call.
func NewClient(origin string, calls []Call, source *tokenauth.Source) (*http.Client, error) {
	u, err := tokenauth.ParseOrigin(origin)
	if err != nil {
		return nil, fmt.Errorf("origin %q %w", origin, err)
	}
	sources := make(map[string]*tokenauth.Source)
	for _, call := range calls {
		if err := call.Validate(); err != nil {
			return nil, err
		}
		sources[call.Group] = source
	}
	return &http.Client{
		Transport:     &Transport{Table: NewTable(calls...), Sources: sources, Origin: u},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
