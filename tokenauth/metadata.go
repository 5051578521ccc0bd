package tokenauth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Metadata is the configuration that an OpenID provider publishes (OpenID Connect
// Discovery 1.0 section 3, RFC 8414 section 2), as far as it is used here. All callers
// share it: it must not be modified.
type Metadata struct {
	// Issuer is the issuer identifier. It equals the configured one.
	Issuer string

	// TokenEndpoint is the URL of the token endpoint.
	TokenEndpoint string

	// TokenEndpointAuthMethods are the client authentication methods of the
	// token endpoint. It is nil if the document does not have them as a list of
	// strings.
	TokenEndpointAuthMethods []AuthMethod

	// AssertionAlgorithms are the JWS algorithms that the token endpoint accepts for
	// client assertions, such as "ES256". It is nil as above.
	AssertionAlgorithms []string

	// DPoPAlgorithms are the JWS algorithms that the provider accepts for DPoP proofs
	// (RFC 9449 section 5.1). It is nil as above.
	DPoPAlgorithms []string

	members members
}

// maxText is the length, in bytes, to which a text of the document is used and shown.
const maxText = 2048

// Text returns the member name of the document if it is a string, else "". It uses the
// first 2048 bytes, and escapes characters that cannot be printed. It is for members
// that a provider has added, such as BankID's "esign-baseurl".
func (m *Metadata) Text(name string) string {
	text := m.members.text(name)
	return printable(text[:min(len(text), maxText)])
}

// errNoDocument is the error for a response that is not a JSON object.
var errNoDocument = errors.New("the response is not a provider configuration in JSON")

// parse reads the provider's configuration document.
func (p *Provider) parse(body []byte) (*Metadata, error) {
	document, err := parseMembers(body)
	if err != nil {
		return nil, errNoDocument
	}
	m := &Metadata{
		Issuer:              document.text("issuer"),
		TokenEndpoint:       document.text("token_endpoint"),
		AssertionAlgorithms: document.texts("token_endpoint_auth_signing_alg_values_supported"),
		DPoPAlgorithms:      document.texts("dpop_signing_alg_values_supported"),
		members:             document,
	}
	if methods := document.texts("token_endpoint_auth_methods_supported"); methods != nil {
		m.TokenEndpointAuthMethods = make([]AuthMethod, 0, len(methods))
		for _, method := range methods {
			m.TokenEndpointAuthMethods = append(m.TokenEndpointAuthMethods, AuthMethod(method))
		}
	}
	// OpenID Connect Discovery 1.0 section 4.3: both must be exactly the same, or one
	// provider could pretend to be another.
	if m.Issuer != p.issuer {
		return nil, fmt.Errorf("the document names the issuer %.200q, not the configured one", m.Issuer)
	}
	if len(m.TokenEndpoint) > maxText {
		return nil, fmt.Errorf("token_endpoint has %d bytes, more than %d", len(m.TokenEndpoint), maxText)
	}
	endpoint, err := parseURL(m.TokenEndpoint)
	if err == nil && !p.insecure {
		err = CheckSecure(endpoint)
	}
	if err == nil && strings.ContainsFunc(m.TokenEndpoint, unprintable) {
		err = errors.New("has characters that no URL has")
	}
	if err != nil {
		return nil, fmt.Errorf("token_endpoint: %w", err)
	}
	if p.pinned {
		own, err := url.Parse(p.issuer)
		if err != nil || !strings.EqualFold(own.Host, endpoint.Host) || own.Scheme != endpoint.Scheme {
			return nil, fmt.Errorf("token_endpoint is on %.200q, not on the issuer's host", endpoint.Host)
		}
	}
	return m, nil
}

// ParseIssuer parses an issuer identifier. It must be an https URL, or an http URL on a
// loopback address, without query, fragment or user information (RFC 8414 section 2).
// The error says what is wrong, as in "must not have a query".
func ParseIssuer(issuer string) (*url.URL, error) {
	u, err := parseIssuer(issuer)
	if err != nil {
		return nil, err
	}
	return u, CheckSecure(u)
}

// ParseInsecureIssuer parses the issuer identifier for NewInsecureProvider. It must be
// an http URL, on any host; else the rules are those of ParseIssuer.
func ParseInsecureIssuer(issuer string) (*url.URL, error) {
	u, err := parseIssuer(issuer)
	if err == nil && u.Scheme != "http" {
		err = fmt.Errorf("is not http, but '%s'", u.Scheme)
	}
	return u, err
}

// parseIssuer parses an issuer identifier, and checks all but its scheme.
func parseIssuer(issuer string) (*url.URL, error) {
	u, err := parseURL(issuer)
	if err == nil && (u.RawQuery != "" || u.ForceQuery) {
		err = errors.New("must not have a query")
	}
	return u, err
}

// parseURL parses a URL to which credentials are sent, and checks all but its scheme.
func parseURL(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, errors.New("is missing")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return nil, errors.New("is not an absolute URL")
	}
	if u.Fragment != "" || strings.Contains(raw, "#") {
		return nil, errors.New("must not have a fragment")
	}
	if u.User != nil {
		return nil, errors.New("must not have user information")
	}
	return u, nil
}

// CheckSecure returns an error unless data sent to u is protected: u must be https, or
// http on a loopback address. The error says what is wrong, as in "must be https".
func CheckSecure(u *url.URL) error {
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && IsLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("must be https: plain http is for loopback addresses only")
	}
	return fmt.Errorf("must be https, not '%s'", u.Scheme)
}

// IsLoopback reports whether host is "localhost" or a loopback address. host has no port.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}

// CanonicalHost returns the value of the Host field for u: the host in lower case, with
// its port unless the scheme implies that port (RFC 9110 section 4.2.3).
func CanonicalHost(u *url.URL) string {
	host, port := strings.ToLower(u.Host), u.Port()
	if port == "" || (u.Scheme == "https" && port == "443") || (u.Scheme == "http" && port == "80") {
		return strings.TrimSuffix(host, ":"+port)
	}
	return host
}
