package tokenauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// A fault is what kept a request from being answered, as far as it can be told.
type fault int

// The faults.
const (
	faultUnknown     fault = iota
	faultName              // there is no host of that name
	faultResolver          // the DNS does not answer
	faultRoute             // there is no way to the host
	faultRefused           // nothing listens there
	faultProxy             // the egress proxy cannot be reached
	faultProxyLogin        // the egress proxy lets only users in
	faultExpired           // the certificate is not valid now
	faultHost              // the certificate is another host's
	faultCertificate       // the certificate is not trusted
	faultTLS               // whoever answers does not speak TLS
)

// faultOf classifies the error of a round trip.
func faultOf(err error) fault {
	if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Op == "proxyconnect" {
		return faultProxy
	}
	if strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)) { // it has no type
		return faultProxyLogin
	}
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok {
		if dnsErr.IsNotFound {
			return faultName
		}
		return faultResolver
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
	if errors.Is(err, syscall.ECONNREFUSED) {
		return faultRefused
	}
	if errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) {
		return faultRoute
	}
	return faultUnknown
}
