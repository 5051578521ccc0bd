package tokenauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"syscall"
)

// A fault is what kept a request from being answered, as far as it can be told.
type fault int

// The faults.
const (
	faultUnknown     fault = iota
	faultName              // the host name cannot be resolved
	faultRefused           // nothing listens there
	faultProxy             // the egress proxy cannot be reached
	faultExpired           // the certificate is not valid now
	faultCertificate       // the certificate is not trusted, or another host's
	faultTLS               // whoever answers does not speak TLS
)

// faultOf classifies the error of a round trip.
func faultOf(err error) fault {
	if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Op == "proxyconnect" {
		return faultProxy
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return faultName
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return faultExpired
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
	return faultUnknown
}
