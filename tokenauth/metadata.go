package tokenauth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Metadata is what an OpenID provider publishes about itself (OpenID Connect
// Discovery 1.0 section 3, RFC 8414 section 2), as far as it is used here. All
// who use the provider have the same one: it must not be modified.
type Metadata struct {
	// Issuer is the issuer identifier. It equals the configured one.
	Issuer string

	// TokenEndpoint is the URL of the token endpoint.
	TokenEndpoint string

	// TokenEndpointAuthMethods are the client authentication methods of the
	// token endpoint. Nil if the document does not say, or not in a list of strings.
	TokenEndpointAuthMethods []AuthMethod

	// AssertionAlgorithms are the algorithms that the token endpoint takes client
	// assertions in. Nil likewise.
	AssertionAlgorithms []string

	// DPoPAlgorithms are the algorithms that the provider takes DPoP proofs in
	// (RFC 9449 section 5.1). Nil likewise.
	DPoPAlgorithms []string

	members members
}

// maxText is how much of a text of the document is used and shown, in bytes.
const maxText = 2048

// Text returns the member name of the document if it is a string, else "". What of it
// cannot be printed is escaped, and no more than 2048 bytes of it are returned. Providers
// publish members of their own, such as BankID's "esign-baseurl".
func (m *Metadata) Text(name string) string {
	text := m.members.text(name)
	return printable(text[:min(len(text), maxText)])
}

// errNoDocument is what is wrong with an answer that is something else.
var errNoDocument = errors.New("the answer is not a provider configuration in JSON")

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
	// OpenID Connect Discovery 1.0 section 4.3: exactly, else one provider
	// could speak for another.
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

// ParseIssuer checks an issuer identifier: an https URL, or http on a loopback
// address, without query, fragment or user information (RFC 8414 section 2).
func ParseIssuer(issuer string) (*url.URL, error) {
	u, err := parseIssuer(issuer)
	if err != nil {
		return nil, err
	}
	return u, CheckSecure(u)
}

// ParseInsecureIssuer checks the issuer identifier of NewInsecureProvider: as
// ParseIssuer does, but it must be http, on any host.
func ParseInsecureIssuer(issuer string) (*url.URL, error) {
	u, err := parseIssuer(issuer)
	if err == nil && u.Scheme != "http" {
		err = fmt.Errorf("is not http, but '%s'", u.Scheme)
	}
	return u, err
}

// parseIssuer checks an issuer identifier but for its scheme.
func parseIssuer(issuer string) (*url.URL, error) {
	u, err := parseURL(issuer)
	if err == nil && (u.RawQuery != "" || u.ForceQuery) {
		err = errors.New("must not have a query")
	}
	return u, err
}

// parseURL checks a URL to which credentials are sent, but for its scheme.
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

// CheckSecure reports an error unless what is sent to u is protected from
// others: by TLS, or by not leaving this machine.
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

// IsLoopback reports whether host, without a port, is "localhost" or a
// loopback address.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}

// CanonicalHost returns the host of u as it belongs into the Host field: in
// lower case, and without the port that the scheme implies (RFC 9110 section
// 4.2.3).
func CanonicalHost(u *url.URL) string {
	host, port := strings.ToLower(u.Host), u.Port()
	if port == "" || (u.Scheme == "https" && port == "443") || (u.Scheme == "http" && port == "80") {
		return strings.TrimSuffix(host, ":"+port)
	}
	return host
}
