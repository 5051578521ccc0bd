package sandbox

import "net/http"

// A listRequest asks for credentials (CSC API v2, section 11.4).
type listRequest struct {
	UserID         *string `json:"userID"`
	CredentialInfo bool    `json:"credentialInfo"`
	OnlyValid      bool    `json:"onlyValid"`
	credentialQuery
}

// A listResponse lists the credentials of the person whom the service token
// stands for.
type listResponse struct {
	CredentialIDs   []string         `json:"credentialIDs"`
	CredentialInfos []credentialInfo `json:"credentialInfos,omitempty"`
}

func (s *Server) listCredentials(token *serviceToken, request listRequest) (any, *cscError) {
	if request.UserID != nil {
		return nil, invalidCSC("userID parameter MUST be null") // the token says who
	}
	info, failed := s.credentialInfo(token, request.credentialQuery)
	if failed != nil {
		return nil, failed
	}
	response := listResponse{CredentialIDs: []string{credentialID}}
	if request.CredentialInfo {
		info.CredentialID = credentialID
		response.CredentialInfos = []credentialInfo{info}
	}
	return response, nil
}

// An infoRequest asks for one credential (CSC API v2, section 11.5).
type infoRequest struct {
	CredentialID string `json:"credentialID"`
	credentialQuery
}

func (s *Server) describeCredential(token *serviceToken, request infoRequest) (any, *cscError) {
	if failed := checkCredentialID(request.CredentialID); failed != nil {
		return nil, failed
	}
	info, failed := s.credentialInfo(token, request.credentialQuery)
	if failed != nil {
		return nil, failed
	}
	return info, nil
}

// credentialInfo describes the credential of a service token.
func (s *Server) credentialInfo(token *serviceToken, query credentialQuery) (credentialInfo, *cscError) {
	if certificatesFault(query.Certificates) != "" {
		return credentialInfo{}, invalidCSC("Invalid parameter certificates")
	}
	credential, err := token.credential()
	if err != nil {
		return credentialInfo{}, &cscError{http.StatusInternalServerError, "certificate_creation_failed", "The certificate could not be made"}
	}
	return credential.info(query), nil
}

// An authorizeRequest asks for leave to sign hashes (CSC API v2, section 11.6).
// BankID requires all of these; see
// https://developer.bankid.no/bankid-esign-provider/api-specification-changelog/.
type authorizeRequest struct {
	CredentialID     string   `json:"credentialID"`
	NumSignatures    *int     `json:"numSignatures"`
	Hashes           []string `json:"hashes"`
	HashAlgorithmOID string   `json:"hashAlgorithmOID"`
}

func (s *Server) authorizeCredential(token *serviceToken, request authorizeRequest) (any, *cscError) {
	if failed := checkCredentialID(request.CredentialID); failed != nil {
		return nil, failed
	}
	switch n := request.NumSignatures; {
	case n == nil:
		return nil, invalidCSC("Missing (or invalid type) integer parameter numSignatures")
	case *n < 1:
		return nil, invalidCSC("Invalid value for parameter numSignatures")
	case *n > maxHashes:
		return nil, invalidCSC("Numbers of signatures is too high")
	}
	if failed := checkHashAlgorithm(request.HashAlgorithmOID); failed != nil {
		return nil, failed
	}
	hashes, failed := readHashes(request.Hashes)
	if failed != nil {
		return nil, failed
	}
	if *request.NumSignatures != len(hashes) {
		return nil, &cscError{http.StatusBadRequest, "hash_mismatch", "numSignatures is not the number of hashes"}
	}
	return map[string]any{
		"SAD":       s.serviceTokens.activate(token, newFingerprint(hashes)),
		"expiresIn": int64(s.serviceTokens.sadLifetime.Seconds()),
	}, nil
}

// A signRequest asks for signatures over hashes (CSC API v2, section 11.10).
type signRequest struct {
	CredentialID     string   `json:"credentialID"`
	SAD              string   `json:"SAD"`
	Hashes           []string `json:"hashes"`
	HashAlgorithmOID string   `json:"hashAlgorithmOID"`
	SignAlgo         string   `json:"signAlgo"`
	SignAlgoParams   string   `json:"signAlgoParams"` // ECDSA has none
	OperationMode    string   `json:"operationMode"`
	ClientData       string   `json:"clientData"`
}

func (s *Server) signHashes(token *serviceToken, request signRequest) (any, *cscError) {
	if failed := checkCredentialID(request.CredentialID); failed != nil {
		return nil, failed
	}
	switch {
	case request.SAD == "":
		return nil, invalidCSC("Missing (or invalid type) string parameter SAD")
	case request.OperationMode != "" && request.OperationMode != "S":
		return nil, invalidCSC("Invalid parameter operationMode") // nothing is asynchronous
	}
	if failed := checkSignAlgo(request.SignAlgo); failed != nil {
		return nil, failed
	}
	if failed := checkHashAlgorithm(request.HashAlgorithmOID); failed != nil {
		return nil, failed
	}
	hashes, failed := readHashes(request.Hashes)
	if failed != nil {
		return nil, failed
	}
	switch s.serviceTokens.redeem(token, request.SAD, newFingerprint(hashes)) {
	case redeemed:
	case unknownSAD:
		return nil, &cscError{http.StatusBadRequest, "invalid_sad", "Invalid parameter SAD"}
	case expiredSAD:
		return nil, &cscError{http.StatusBadRequest, "invalid_sad", "SAD expired"}
	case otherHashes:
		return nil, &cscError{http.StatusBadRequest, "hash_mismatch", "Hash is not authorized by the SAD"}
	}
	credential, err := token.credential()
	if err == nil && credential.expired(s.clock.now()) {
		return nil, &cscError{http.StatusBadRequest, "certificate_expired", "The certificate has expired"}
	}
	var signatures [][]byte
	if err == nil {
		signatures, err = credential.sign(hashes)
	}
	if err != nil {
		return nil, &cscError{http.StatusInternalServerError, "internal_error", "The hashes could not be signed"}
	}
	return map[string][][]byte{"signatures": signatures}, nil
}

func checkCredentialID(id string) *cscError {
	switch id {
	case credentialID:
		return nil
	case "":
		return invalidCSC("Missing (or invalid type) string parameter credentialID")
	default:
		return &cscError{http.StatusBadRequest, "invalid_credential_id", "Invalid parameter credentialID"}
	}
}
