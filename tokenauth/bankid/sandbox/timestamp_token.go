package sandbox

import (
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid"
)

// Media types of the Time-Stamp Protocol over HTTP (RFC 3161, section 3.4).
const (
	timestampQuery = "application/timestamp-query"
	timestampReply = "application/timestamp-reply"
)

// timestampToken issues a time-stamp token. Which form BankID takes is unknown;
// so both that are standards are taken: the Time-Stamp Protocol, and the JSON
// of signatures/timestamp (CSC API v2).
func (s *Server) timestampToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch s.tokens.admit(r, bankid.ScopeQTSA) {
	case admitted:
	case tokenMissing:
		timestampError(w, http.StatusUnauthorized, "The access token is missing")
		return
	case tokenInvalid:
		timestampError(w, http.StatusUnauthorized, "The access token is invalid or expired")
		return
	case scopeMissing:
		timestampError(w, http.StatusForbidden, "The access token lacks scope "+bankid.ScopeQTSA)
		return
	}
	switch mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType {
	case timestampQuery:
		s.timestampDER(w, r)
	case "application/json":
		s.timestampJSON(w, r)
	default:
		timestampError(w, http.StatusBadRequest, "The body is neither "+timestampQuery+" nor application/json")
	}
}

// timestampDER speaks the Time-Stamp Protocol, in which a rejection is a
// response like any other.
func (s *Server) timestampDER(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(http.MaxBytesReader(w, r.Body, smallBody))
	switch {
	case isTooLarge(err):
		timestampError(w, http.StatusRequestEntityTooLarge, "The body is too large")
		return
	case err != nil:
		timestampError(w, http.StatusBadRequest, "The body could not be read")
		return
	}
	w.Header().Set("Content-Type", timestampReply)
	_, _ = w.Write(s.tsa.respond(query))
}

// timestampJSON takes a hash and responds with a token, without the response
// around it.
func (s *Server) timestampJSON(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Hash     []byte `json:"hash"`     // base64
		HashAlgo string `json:"hashAlgo"` // OID
		Nonce    string `json:"nonce"`    // hexadecimal
	}
	switch err := decodeSmall(w, r, &body); {
	case isTooLarge(err):
		timestampError(w, http.StatusRequestEntityTooLarge, "The body is too large")
		return
	case err != nil:
		timestampError(w, http.StatusBadRequest, jsonFault(err, "The body is not the JSON of a timestamp request"))
		return
	}
	request, err := newTimestampRequest(body.Hash, body.HashAlgo, body.Nonce)
	if err != nil {
		timestampError(w, http.StatusBadRequest, err.Error())
		return
	}
	token, err := s.tsa.stamp(request)
	if err != nil {
		timestampError(w, http.StatusServiceUnavailable, "The token could not be signed")
		return
	}
	respondJSON(w, http.StatusOK, map[string][]byte{"timestamp": token})
}

// newTimestampRequest makes the request that asks for the same in DER, the
// certificate included.
func newTimestampRequest(hash []byte, algorithm, nonce string) (*timestampRequest, error) {
	request := &timestampRequest{Version: 1, CertReq: true, MessageImprint: messageImprint{
		HashAlgorithm: pkix.AlgorithmIdentifier{Algorithm: parseOID(algorithm)},
		HashedMessage: hash,
	}}
	if failed := request.MessageImprint.check(); failed != nil {
		return nil, failed
	}
	if nonce != "" {
		number, ok := new(big.Int).SetString(nonce, 16)
		if !ok || strings.ContainsAny(nonce[:1], "+-") {
			return nil, errors.New("the nonce is not hexadecimal")
		}
		request.Nonce = number
	}
	return request, nil
}

// parseOID reads an object identifier in dotted decimal; it returns nil for
// anything else.
func parseOID(dotted string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(dotted, ".") {
		number, err := strconv.Atoi(arc)
		if err != nil {
			return nil
		}
		oid = append(oid, number)
	}
	if oid.String() != dotted { // a sign, or a zero in front
		return nil
	}
	return oid
}

// timestampError responds as the token endpoint of timestamping does:
// https://developer.bankid.no/bankid-esign-provider/apis/timestamp/errors. The
// number in the code is the HTTP status; BankID's numbers are not known.
func timestampError(w http.ResponseWriter, status int, message string) {
	timestampErrorCode(w, status, fmt.Sprintf("SIG-TG%03d", status), message)
}

func timestampErrorCode(w http.ResponseWriter, status int, code, message string) {
	respondJSON(w, status, map[string]string{
		"message":        message,
		"code":           code,
		"requestId":      rand.Text(),
		"errorReference": rand.Text(),
	})
}
