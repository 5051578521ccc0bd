package tokenauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// An EgressError says that an egress proxy refused or failed to connect to a host
// (CONNECT).
type EgressError struct {
	// Proxy is the URL of the proxy, without user and password.
	Proxy string

	// Status is the HTTP status of the proxy's response. It is not 200.
	Status int
}

// Error implements error.
func (e *EgressError) Error() string {
	text := fmt.Sprintf("the egress proxy %s responds with %d", e.Proxy, e.Status)
	if reason := http.StatusText(e.Status); reason != "" {
		text += " " + reason
	}
	return text
}

// CheckEgressResponse is a function for http.Transport.OnProxyConnectResponse. If the
// proxy does not respond with 200, it returns an *EgressError, from which Error.Hint
// learns the status. The error of net/http itself has only the reason phrase.
func CheckEgressResponse(_ context.Context, proxy *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &EgressError{Proxy: EgressProxy(proxy), Status: res.StatusCode}
}

// EgressProxy returns the scheme, host and port of an egress proxy's URL, without user
// and password.
func EgressProxy(proxy *url.URL) string {
	return (&url.URL{Scheme: proxy.Scheme, Host: proxy.Host}).String()
}
