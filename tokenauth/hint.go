package tokenauth

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
)

// Hint names the likely mistake behind the error, in one sentence that holds nothing
// secret. It returns "" if there is nothing to add to the error.
func (e *Error) Hint() string {
	switch e.fault {
	case faultName:
		return "the DNS has no host with the issuer's name: look at the DNS of this machine, at the egress proxy (HTTPS_PROXY) if external names resolve only there, and at the spelling if you have configured an issuer yourself"
	case faultResolver:
		return "the DNS does not respond: look at this machine's network and DNS, and at the egress proxy (HTTPS_PROXY) if external names resolve only there"
	case faultRoute:
		return "there is no route to the issuer from this machine: look at its network and the firewall, and at the egress proxy (HTTPS_PROXY)"
	case faultRefused:
		return "nothing listens at the issuer's address, or a firewall refuses the connection: look at host and port, and at the egress proxy (HTTPS_PROXY)"
	case faultProxy:
		return "the egress proxy cannot be reached: look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
	case faultProxyLogin:
		return "the egress proxy wants a user and a password: write them into HTTPS_PROXY, as in http://user:password@proxy:3128"
	case faultProxyForbids:
		return "the egress proxy does not let this machine connect to the issuer: have the issuer's host and port allowed there"
	case faultProxyFails:
		return "the egress proxy cannot connect to the issuer: look at the proxy's own network and DNS, and at the spelling if you have configured an issuer yourself"
	case faultPermission:
		return "this machine does not permit the connection to the issuer: look at its firewall, and at what the service may do"
	case faultExhausted:
		return "this machine has no file descriptor, port or memory left for a connection: look at its limits (LimitNOFILE), and at what else runs on it"
	case faultExpired:
		return "the issuer's certificate is not valid at this machine's time: look at the clock, then at the certificate"
	case faultHost:
		return "the server at the issuer's address has the certificate of another host: look at the issuer's host name, and for a proxy or a login page of the network in between"
	case faultCertificate:
		return "the issuer's certificate is from an authority that this machine does not trust, such as that of a company's proxy that intercepts TLS: add the authority's root certificate to this machine's (SSL_CERT_FILE), or to the trust pool"
	case faultTLS:
		return "the server at the issuer's address does not speak TLS: look at the port, and for a proxy in between"
	case faultNoCommonTLS:
		return "the issuer, or a proxy that intercepts TLS, has no TLS version or cipher suite in common with the gateway, which wants TLS 1.2 or newer, or it wants a client certificate: look for a proxy in between"
	case faultClientCertificate:
		return "the server at the issuer's address wants a client certificate, and the gateway does not have one: look for a proxy in between"
	case faultServerName:
		return "the server at the issuer's address does not know the issuer's host name: look at that name, and for a proxy in between"
	case faultHandshake:
		return "TLS with the server at the issuer's address has failed: look for a proxy in between that intercepts TLS"
	case faultUnknown:
		// the cause may say more
	}
	switch e.Cause {
	case CauseTimeout:
		return "the issuer does not respond: look at the firewall and the egress proxy (HTTPS_PROXY)"
	case CauseUnavailable:
		if e.Status != 0 {
			return "the issuer has trouble of its own, or has been asked too often: wait, and look at its status page"
		}
		return "the issuer cannot be reached: look at the network, the firewall and the egress proxy (HTTPS_PROXY)"
	case CauseRefused:
		return e.refusalHint()
	case CauseUnusable:
		switch {
		case errors.Is(e.Err, errLate):
			return "the provider takes longer to respond than its tokens are valid: it is slow, or the lifetime of its tokens is too short"
		case e.Op == opDiscovery && e.Status == http.StatusNotFound:
			return "there is no OpenID provider at the issuer's URL: look at its host, path and realm"
		case e.Op == opDiscovery:
			return "the server at the issuer's URL is not the provider of that name: write the issuer exactly as the provider does, and look for a proxy that responds instead of the provider"
		}
		return e.unusableHint()
	case CauseConfiguration:
		switch {
		case errors.Is(e.Err, errNoMethod):
			return "if the provider accepts a method that it does not list, set auth_method to it; or look whether it wants a key or a secret"
		case errors.Is(e.Err, errNoAlgorithm):
			return "use a key of another type"
		case isA[*KeyError](e.Err):
			return "look at the device or service that holds the key"
		case errors.Is(e.Err, errDetached):
			return "attach a Runtime to the source before it is used again (Source.Attach): it has the client that reaches the issuer"
		}
		// the error itself says what is wrong
	}
	return ""
}

// isA reports whether err is or wraps an E.
func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// assignment matches a value with the name of a variable before it, as in a file of
// environment variables.
var assignment = regexp.MustCompile(`(?i)^(export )?\w*(secret|client_?id)\s*=`)

// filePath matches the path of a file, given instead of the content of that file.
var filePath = regexp.MustCompile(`^(\.{0,2}(/[\w.-]+)+|file\..+)$`)

// Hint says what looks wrong about the credentials, in one sentence that holds nothing
// secret. It returns "" if nothing looks wrong. The credentials may be right even if there
// is a hint.
func (c Credentials) Hint() string {
	switch {
	case c.ClientID == "":
		return "the client identifier is empty: look at where it comes from"
	case c.ClientSecret.Empty() && c.Key == nil:
		return "the client secret is empty, and there is no key: look at where they come from"
	}
	for _, field := range []struct{ name, value string }{
		{"client secret", c.ClientSecret.Reveal()},
		{"client identifier", c.ClientID},
	} {
		switch value := field.value; {
		case strings.HasPrefix(value, "\ufeff"):
			return "the " + field.name + " begins with a byte order mark, which counts as part of it: write it without one"
		case assignment.MatchString(value):
			return "the " + field.name + " begins with a name and an equals sign, which count as part of it: write only what comes after them"
		case value != strings.TrimRight(value, "\r\n"):
			return "the " + field.name + " ends with a line break, which counts as part of it: remove it from where it comes from"
		case value != strings.TrimSpace(value):
			return "the " + field.name + " begins or ends with white space, which counts as part of it: remove it from where it comes from"
		case len(value) > 1 && strings.ContainsRune(`"'`, rune(value[0])) && value[0] == value[len(value)-1]:
			return "the " + field.name + " stands in quotation marks, which count as part of it: remove them from where it comes from"
		case filePath.MatchString(value):
			return "the " + field.name + " looks like the path of a file, and is used as it is: give the content of the file, as by {file./run/secrets/bankid}"
		case strings.HasPrefix(value, "env."):
			return "the " + field.name + " looks like the name of a variable, and is used as it is: give its value, as by {env.NAME}"
		}
	}
	return ""
}
