package caddyesign

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/dunglas/httpsfv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// A failure is why a call has no response, in terms of RFC 9209.
type failure struct {
	kind    string          // the proxy error type; "" if the caller has left
	details string          // what the type does not show, or ""
	params  *httpsfv.Params // extra parameters of the type, nil if there are none
}

// failureOf classifies an error of direct or of Caddy's reverse proxy. Errors of the
// gateway itself are classified in errors.go.
func failureOf(err error) failure {
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	if !ok {
		return failure{kind: proxyInternal}
	}
	if handlerErr.StatusCode == statusClientClosedRequest {
		return failure{}
	}
	if egressErr, ok := errors.AsType[*egressError](err); ok {
		return egressErr.failure(handlerErr)
	}
	return ownFailureOf(handlerErr)
}

// ownFailureOf classifies an error of direct or of Caddy's reverse proxy, without regard
// to an egress proxy.
func ownFailureOf(err caddyhttp.HandlerError) failure {
	if dialErr, ok := errors.AsType[reverseproxy.DialError](err); ok {
		return dialFailureOf(dialErr)
	}
	if f := tlsFailureOf(err); f.kind != "" {
		return f
	}
	switch {
	case err.StatusCode >= http.StatusBadRequest && err.StatusCode < http.StatusInternalServerError:
		f := failure{kind: clientErrorType(err.StatusCode)} // by another handler, such as request_body
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			f.details = gateway.TooLarge
		}
		return f
	case err.StatusCode == http.StatusGatewayTimeout:
		return failure{kind: timeoutType(err)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return failure{kind: responseIncomplete}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return failure{kind: connectionTerminated}
	}
	for _, known := range failureTexts {
		if strings.Contains(err.Error(), known.text) {
			return failure{kind: known.kind}
		}
	}
	return failure{kind: proxyInternal}
}

// timeoutType classifies a timeout that came before the header of the response.
func timeoutType(err error) string {
	if timeout, ok := errors.AsType[*gateway.TimeoutError](err); ok {
		switch timeout.Phase {
		case gateway.PhaseConnect:
			return connectionTimeout
		case gateway.PhaseWrite:
			return connectionWriteTimeout
		case gateway.PhaseHeader, gateway.PhaseRead:
			return responseTimeout
		}
	}
	if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Op == "write" {
		return connectionWriteTimeout // of an HTTP/2 connection, for all its calls
	}
	if strings.Contains(err.Error(), "TLS handshake timeout") { // from net/http, which gives it no type
		return connectionTimeout
	}
	return responseTimeout
}

// failureTexts classify errors without an exported type by their text. The first text
// that the error contains decides. The texts are from net/http in Go 1.26
// (transport.go, transfer.go, and http2 in h2_bundle.go), from x/net 0.60 (http2),
// which Caddy uses for HTTP/2, and from Caddy 2.11 (reverseproxy.go).
var failureTexts = []struct{ text, kind string }{
	{"server response headers exceeded", headerTooLarge},
	{"response header list larger than advertised limit", headerTooLarge},
	{"header list too large", headerTooLarge},
	{"unsupported transfer encoding", transferCoding},
	{"too many transfer encodings", transferCoding},
	{"http: ContentLength=", requestError}, // the body has another length than its field says
	{"request body larger than specified content length", requestError},
	{"malformed response from server", protocolError},
	{"malformed HTTP ", protocolError},
	{"malformed MIME header", protocolError},
	{"HTTP/1.x transport connection broken", protocolError}, // by a response that cannot be parsed
	{"connection error: ", protocolError},
	// When a call could be retried but must not be, only a text tells how HTTP/2
	// ended it (RFC 9113 sections 6.4 and 6.8).
	{"stream error: ", connectionTerminated},
	{"GOAWAY", connectionTerminated},
	{"cannot rewind body after connection loss", connectionTerminated},
	{"server closed idle connection", connectionTerminated},
	{"client connection lost", connectionTerminated},
	{"client connection force closed", connectionTerminated},
	{"no upstreams available", destinationUnavailable},
	{"http2: ", protocolError}, // frames that cannot be parsed, or are not allowed there
}

// dialFailureOf classifies an error from connecting. It uses the text, because Caddy's
// type does not unwrap.
func dialFailureOf(err reverseproxy.DialError) failure {
	text := err.Error()
	has := func(errnos ...syscall.Errno) bool {
		for _, errno := range errnos {
			if strings.Contains(text, errno.Error()) {
				return true
			}
		}
		return false
	}
	timeout := strings.Contains(text, "i/o timeout") || has(syscall.ETIMEDOUT)
	switch {
	case has(syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EADDRNOTAVAIL):
		return failure{kind: proxyInternal, details: "the gateway's machine has no file descriptor, port or memory left for a connection"}
	case strings.Contains(text, "lookup ") && timeout:
		return failure{kind: dnsTimeout}
	case strings.Contains(text, "lookup ") && strings.Contains(text, "no such host"):
		return failure{kind: dnsError, details: "the DNS knows no such host"}
	case strings.Contains(text, "lookup "):
		return failure{kind: dnsError, details: "the response of the DNS is not usable"}
	case timeout:
		return failure{kind: connectionTimeout}
	case has(syscall.ECONNREFUSED):
		return failure{kind: connectionRefused}
	case has(syscall.ECONNRESET):
		return failure{kind: connectionTerminated}
	case has(syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN):
		return failure{kind: addressUnroutable}
	case has(syscall.EACCES, syscall.EPERM):
		return failure{kind: addressProhibited, details: "the gateway's machine does not permit the connection"}
	}
	return failure{kind: destinationUnavailable}
}

// tlsFailureOf classifies a TLS error. For any other error, the kind is "".
func tlsFailureOf(err error) failure {
	if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Op == "remote error" {
		return alertFailureOf(opErr.Err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return failure{kind: tlsCertificateError}
	}
	if strings.Contains(err.Error(), "tls: failed to parse certificate from server") {
		return failure{kind: tlsCertificateError}
	}
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	if notTLS || errors.Is(err, http.ErrSchemeMismatch) || strings.Contains(err.Error(), "tls: ") {
		return failure{kind: tlsProtocolError} // most errors of crypto/tls have no type
	}
	return failure{}
}

// alertFailureOf describes a TLS alert that was received. The type of alert is not
// exported, but each alert has a text of its own.
func alertFailureOf(alert error) failure {
	f := failure{kind: tlsAlertReceived, params: httpsfv.NewParams()}
	for id := range 256 {
		if tls.AlertError(id).Error() == alert.Error() { //nolint:gosec // below 256
			f.params.Add("alert-id", int64(id))
			if message := alertMessages[id]; message != "" {
				f.params.Add("alert-message", httpsfv.Token(message))
			}
		}
	}
	return f
}

// alertMessages are the descriptions in IANA's registry of the TLS alerts that can be
// received (RFC 8446 section 6, RFC 7301, RFC 9849).
var alertMessages = map[int]string{
	10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow",
	40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked",
	45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
	49: "access_denied", 50: "decode_error", 51: "decrypt_error",
	70: "protocol_version", 71: "insufficient_security",
	80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled",
	109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name",
	113: "bad_certificate_status_response", 115: "unknown_psk_identity", 116: "certificate_required",
	117: "general_error", 120: "no_application_protocol", 121: "ech_required",
}

// failure classifies the error. whole is the reverse proxy's error that contains it.
func (e *egressError) failure(whole caddyhttp.HandlerError) failure {
	if egressErr, ok := errors.AsType[*tokenauth.EgressError](e.err); ok {
		return failure{kind: destinationUnavailable, details: egressErr.Error()}
	}
	opErr, _ := errors.AsType[*net.OpError](e.err)
	switch {
	case opErr != nil && strings.HasPrefix(opErr.Op, "socks "):
		return failure{kind: destinationUnavailable, details: "the egress proxy " + e.proxy + " does not connect: " + opErr.Err.Error()}
	case e.connectTimedOut:
		return failure{kind: connectionTimeout, details: "the egress proxy " + e.proxy + " does not connect in time"}
	}
	f := ownFailureOf(whole)
	switch {
	case f.kind == "":
	case opErr != nil && opErr.Op == "proxyconnect":
		f.details = "the egress proxy " + e.proxy + " cannot be reached" + because(f.details)
	default:
		f.details = "through the egress proxy " + e.proxy + because(f.details)
	}
	return f
}

// because formats details as the end of a sentence.
func because(details string) string {
	if details == "" {
		return ""
	}
	return ": " + details
}
