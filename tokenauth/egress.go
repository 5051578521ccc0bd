package tokenauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// An EgressError is the answer of an egress proxy that makes no connection to the
// host that it was asked for (by CONNECT).
type EgressError struct {
	// Proxy is the URL of the proxy, without user and password.
	Proxy string

	// Status is the HTTP status of its answer, which is not 200.
	Status int
}

// Error implements error.
func (e *EgressError) Error() string {
	text := fmt.Sprintf("the egress proxy %s answers %d", e.Proxy, e.Status)
	if reason := http.StatusText(e.Status); reason != "" {
		text += " " + reason
	}
	return text
}

// CheckEgressAnswer is for http.Transport.OnProxyConnectResponse. The error is an
// *EgressError, where net/http itself has only the proxy's words for the status.
// With it, the Hint of an Error knows what the proxy has answered.
func CheckEgressAnswer(_ context.Context, proxy *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &EgressError{Proxy: EgressProxy(proxy), Status: res.StatusCode}
}

// EgressProxy returns the URL of an egress proxy without what is secret in it.
func EgressProxy(proxy *url.URL) string {
	return (&url.URL{Scheme: proxy.Scheme, Host: proxy.Host}).String()
}
