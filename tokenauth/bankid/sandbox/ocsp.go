package sandbox

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// ocspPost responds to an OCSP request (RFC 6960, appendix A).
func (s *Server) ocspPost(w http.ResponseWriter, r *http.Request) {
	if !hasMediaType(r, "application/ocsp-request") {
		http.Error(w, "the body is not application/ocsp-request", http.StatusUnsupportedMediaType)
		return
	}
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, smallBody))
	switch {
	case isTooLarge(err):
		http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, "the body could not be read", http.StatusBadRequest)
	default:
		s.respondOCSP(w, request)
	}
}

// ocspGet responds to an OCSP request in the path, in base64. A request that cannot be
// decoded is malformed like any other that cannot be read.
func (s *Server) ocspGet(w http.ResponseWriter, r *http.Request) {
	text, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), ocspPath+"/"))
	request, _ := base64.StdEncoding.DecodeString(text)
	s.respondOCSP(w, request)
}

func (s *Server) respondOCSP(w http.ResponseWriter, request []byte) {
	w.Header().Set("Content-Type", "application/ocsp-response")
	_, _ = w.Write(s.ca.RespondOCSP(request)) //nolint:gosec // DER, and the media type says so
}

// An ocspEnvelope is an OCSPResponse that holds another response (RFC 6960,
// section 4.2.1).
type ocspEnvelope struct {
	Status   asn1.Enumerated
	Response struct {
		Type  asn1.ObjectIdentifier
		Bytes []byte
	} `asn1:"explicit,optional,tag:0"`
}

// basicOCSP returns the BasicOCSPResponse in an OCSPResponse.
func basicOCSP(response []byte) ([]byte, error) {
	var envelope ocspEnvelope
	if rest, err := asn1.Unmarshal(response, &envelope); err != nil || len(rest) > 0 || len(envelope.Response.Bytes) == 0 {
		return nil, errors.New("there is no basic OCSP response")
	}
	return envelope.Response.Bytes, nil
}

// isOCSP reports whether this has the form of an OCSPResponse or of a
// BasicOCSPResponse. Nothing is verified.
func isOCSP(response []byte) bool {
	if basic, err := basicOCSP(response); err == nil {
		response = basic
	}
	var basic struct {
		Data         asn1.RawValue
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates asn1.RawValue `asn1:"optional,explicit,tag:0"`
	}
	rest, err := asn1.Unmarshal(response, &basic)
	return err == nil && len(rest) == 0
}
