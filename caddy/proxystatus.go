package caddyesign

import "net/http"

// These are proxy error types (RFC 9209 section 2.3).
const (
	requestDenied          = "http_request_denied"
	requestError           = "http_request_error"
	destinationUnavailable = "destination_unavailable"
	addressProhibited      = "destination_ip_prohibited"
	addressUnroutable      = "destination_ip_unroutable"
	connectionTimeout      = "connection_timeout"
	connectionWriteTimeout = "connection_write_timeout"
	connectionRefused      = "connection_refused"
	connectionTerminated   = "connection_terminated"
	responseTimeout        = "http_response_timeout"
	responseIncomplete     = "http_response_incomplete"
	protocolError          = "http_protocol_error"
	headerTooLarge         = "http_response_header_section_size"
	transferCoding         = "http_response_transfer_coding"
	dnsError               = "dns_error"
	dnsTimeout             = "dns_timeout"
	tlsCertificateError    = "tls_certificate_error"
	tlsProtocolError       = "tls_protocol_error"
	tlsAlertReceived       = "tls_alert_received"
	proxyConfiguration     = "proxy_configuration_error"
	proxyInternal          = "proxy_internal_error"
)

// statusClientClosedRequest is the status that Caddy uses when the caller has left.
const statusClientClosedRequest = 499

// clientErrorType classifies a client error by its status: it is either about what the
// client may do, or about its request.
func clientErrorType(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooEarly:
		return requestDenied
	}
	return requestError
}

// defaultProxyName names the gateway in the Proxy-Status field.
const defaultProxyName = "bankid_esign"
