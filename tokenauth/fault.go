package tokenauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
)

// A fault is the reason why a request got no response, as far as it is known.
type fault int

// The faults.
const (
	faultUnknown           fault = iota
	faultName                    // the DNS has no host of that name
	faultResolver                // the DNS does not answer
	faultRoute                   // there is no route to the host
	faultPermission              // this machine does not permit the connection
	faultExhausted               // this machine has no file descriptor or port left
	faultRefused                 // nothing listens at the address
	faultProxy                   // the egress proxy cannot be reached
	faultProxyLogin              // the egress proxy wants a user and a password
	faultProxyForbids            // the egress proxy refuses to connect
	faultProxyFails              // the egress proxy cannot connect
	faultExpired                 // the certificate is not valid now
	faultHost                    // the certificate is for another host
	faultCertificate             // the certificate is not trusted
	faultTLS                     // the server does not speak TLS
	faultHandshake               // the TLS handshake failed
	faultNoCommonTLS             // both sides have no TLS version or cipher suite in common
	faultClientCertificate       // the server wants a client certificate
	faultServerName              // the server has no host of that name
)

// faultOf classifies the error of a round trip.
func faultOf(err error) fault {
	if f := proxyFaultOf(err); f != faultUnknown {
		return f
	}
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok {
		if dnsErr.IsNotFound {
			return faultName
		}
		return faultResolver
	}
	if f := tlsFaultOf(err); f != faultUnknown {
		return f
	}
	is := func(errnos ...error) bool {
		return slices.ContainsFunc(errnos, func(errno error) bool { return errors.Is(err, errno) })
	}
	switch {
	case is(syscall.ECONNREFUSED):
		return faultRefused
	case is(syscall.ENETUNREACH, syscall.EHOSTUNREACH):
		return faultRoute
	case is(syscall.EACCES, syscall.EPERM):
		return faultPermission
	case is(syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EADDRNOTAVAIL):
		return faultExhausted
	}
	return faultUnknown
}

// proxyFaultOf classifies the error of a round trip if an egress proxy has caused it;
// else it returns faultUnknown.
func proxyFaultOf(err error) fault {
	if refusal, ok := errors.AsType[*EgressError](err); ok {
		return connectFault(refusal.Status)
	}
	opErr, _ := errors.AsType[*net.OpError](err)
	switch {
	case opErr == nil:
	case opErr.Op == "proxyconnect":
		return faultProxy
	case strings.HasPrefix(opErr.Op, "socks ") && strings.Contains(err.Error(), "authentication"):
		return faultProxyLogin // these are texts of net/http's own SOCKS client
	case strings.HasPrefix(opErr.Op, "socks ") && strings.Contains(err.Error(), "not allowed by ruleset"):
		return faultProxyForbids
	case strings.HasPrefix(opErr.Op, "socks "):
		return faultProxyFails
	}
	// Without CheckEgressResponse, the error is the reason phrase of the proxy's response.
	for _, status := range []int{
		http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	} {
		if err.Error() == http.StatusText(status) {
			return connectFault(status)
		}
	}
	return faultUnknown
}

// connectFault classifies the status with which an egress proxy refused CONNECT.
func connectFault(status int) fault {
	switch {
	case status == http.StatusProxyAuthRequired:
		return faultProxyLogin
	case status < http.StatusInternalServerError:
		return faultProxyForbids
	}
	return faultProxyFails
}

// tlsFaultOf classifies the error of a round trip if TLS has failed; else it returns
// faultUnknown.
func tlsFaultOf(err error) fault {
	if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Op == "remote error" {
		return alertFaultOf(opErr.Err)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return faultExpired
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return faultHost
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return faultCertificate
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return faultTLS
	}
	if strings.Contains(err.Error(), "tls: ") { // most errors of crypto/tls have no type
		return faultHandshake
	}
	return faultUnknown
}

// alertFaultOf classifies a TLS alert that was received. Its type is not exported,
// but each has a text of its own.
func alertFaultOf(alert error) fault {
	const (
		handshakeFailure, badCertificate, unknownCA       = 40, 42, 48
		protocolVersion, insufficientSecurity             = 70, 71
		unrecognizedName, certificateRequired, noProtocol = 112, 116, 120
	)
	for id := range 256 {
		if tls.AlertError(id).Error() != alert.Error() { //nolint:gosec // below 256
			continue
		}
		switch {
		case id == handshakeFailure, id == protocolVersion, id == insufficientSecurity, id == noProtocol:
			return faultNoCommonTLS
		case id >= badCertificate && id <= unknownCA && id != 47, id == certificateRequired: // 47 is illegal_parameter
			return faultClientCertificate
		case id == unrecognizedName:
			return faultServerName
		}
	}
	return faultHandshake
}
