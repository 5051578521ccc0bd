package sandbox

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

const (
	b2bCredential = "sandbox-b2b-credential" //nolint:gosec // an identifier

	// maxB2BHashes is that of personal CSC; for B2B none is documented.
	maxB2BHashes = 50

	b2bCSCPath = "/v0/b2b/csc/v2"
)

// Object identifiers of signature algorithms that do not name a hash.
const (
	rsaOID = "1.2.840.113549.1.1.1"
	pssOID = "1.2.840.113549.1.1.10"
)

// A b2bAlgorithm is a way to sign a hash.
type b2bAlgorithm struct {
	hash crypto.Hash
	pss  bool
}

// b2bHashes are the hash algorithms, by object identifier. These and the signature
// algorithms are those of CSCAlgorithms in
// https://github.com/BankIDNorge/bankid-esign-b2b.
func b2bHashes() map[string]crypto.Hash {
	return map[string]crypto.Hash{
		"2.16.840.1.101.3.4.2.1": crypto.SHA256,
		"2.16.840.1.101.3.4.2.2": crypto.SHA384,
		"2.16.840.1.101.3.4.2.3": crypto.SHA512,
	}
}

// b2bSignatureHashes are the hashes that a signature algorithm names itself.
func b2bSignatureHashes() map[string]crypto.Hash {
	return map[string]crypto.Hash{
		"1.2.840.113549.1.1.11": crypto.SHA256,
		"1.2.840.113549.1.1.12": crypto.SHA384,
		"1.2.840.113549.1.1.13": crypto.SHA512,
	}
}

// findB2BAlgorithm returns what signAlgo and hashAlgorithmOID name together (CSC
// API v2, section 11.11). The latter may be left out if the former names a hash.
func findB2BAlgorithm(signature, hash string) (b2bAlgorithm, bool) {
	named, ofSignature := b2bSignatureHashes()[signature]
	given, ofHash := b2bHashes()[hash]
	switch {
	case ofSignature && (hash == "" || ofHash && given == named):
		return b2bAlgorithm{hash: named}, true
	case !ofSignature && ofHash && (signature == rsaOID || signature == pssOID):
		return b2bAlgorithm{hash: given, pss: signature == pssOID}, true
	}
	return b2bAlgorithm{}, false
}

// The bodies of requests (CSC API v2, sections 11.4, 11.5 and 11.11). The
// sandbox accepts all members of the standard that make sense without a person,
// and heeds those that decide what is in the response.
type (
	b2bCredentialsList struct {
		CredentialInfo bool   `json:"credentialInfo"`
		Certificates   string `json:"certificates"`
		CertInfo       bool   `json:"certInfo"`
		AuthInfo       bool   `json:"authInfo"`
		OnlyValid      bool   `json:"onlyValid"`
		Lang           string `json:"lang"`
		ClientData     string `json:"clientData"`
		UserID         string `json:"userID"`
	}
	b2bCredentialsInfo struct {
		CredentialID string `json:"credentialID"`
		Certificates string `json:"certificates"`
		CertInfo     bool   `json:"certInfo"`
		AuthInfo     bool   `json:"authInfo"`
		Lang         string `json:"lang"`
		ClientData   string `json:"clientData"`
	}
	b2bSignHash struct {
		CredentialID        string   `json:"credentialID"`
		Hashes              []string `json:"hashes"`
		HashAlgorithm       string   `json:"hashAlgorithmOID"`
		SignatureAlgorithm  string   `json:"signAlgo"`
		SignatureParameters string   `json:"signAlgoParams"`
		ClientData          string   `json:"clientData"`
	}
)

func (c b2bCredentialsList) fault() *b2bError { return b2bCertificatesFault(c.Certificates) }

func (c b2bCredentialsInfo) fault() *b2bError {
	return first(credentialFault(c.CredentialID), b2bCertificatesFault(c.Certificates))
}

func b2bCertificatesFault(value string) *b2bError {
	if fault := certificatesFault(value); fault != "" {
		return badB2B(fault)
	}
	return nil
}

func (s b2bSignHash) fault() *b2bError {
	if fault := credentialFault(s.CredentialID); fault != nil {
		return fault
	}
	if n := len(s.Hashes); n < 1 || n > maxB2BHashes {
		return badB2B(fmt.Sprintf("hashes does not have 1 to %d elements", maxB2BHashes))
	}
	with, ok := findB2BAlgorithm(s.SignatureAlgorithm, s.HashAlgorithm)
	switch {
	case !ok:
		return badB2B("hashAlgorithmOID and signAlgo are not a supported pair")
	case with.pss:
		if fault := pssFault(s.SignatureParameters, with.hash); fault != nil {
			return fault
		}
	case s.SignatureParameters != "":
		return badB2B("signAlgoParams is given, and signAlgo has none")
	}
	for i, text := range s.Hashes {
		if hash, err := base64.StdEncoding.DecodeString(text); err != nil || len(hash) != with.hash.Size() {
			return badB2B(fmt.Sprintf("hashes, element %d: it is not the base64 of a %v hash", i+1, with.hash))
		}
	}
	return nil
}

func credentialFault(id string) *b2bError {
	if id != b2bCredential {
		return badB2B("credentialID is missing or unknown")
	}
	return nil
}

// b2bCSC is CSC for organisations: without authorize, token and SAD. See
// https://developer.bankid.no/bankid-esign-provider/apis/b2b/csc/b2b-csc-overview.
func (s *Server) b2bCSC() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"credentials/list": b2b(s, func(key *sealer, request b2bCredentialsList) (any, error) {
			response := map[string]any{"credentialIDs": []string{b2bCredential}}
			if request.CredentialInfo {
				info := key.credential(request.Certificates, request.CertInfo, request.AuthInfo)
				info["credentialID"] = b2bCredential
				response["credentialInfos"] = []any{info}
			}
			return response, nil
		}),
		"credentials/info": b2b(s, func(key *sealer, request b2bCredentialsInfo) (any, error) {
			return key.credential(request.Certificates, request.CertInfo, request.AuthInfo), nil
		}),
		"signatures/signHash": b2b(s, func(key *sealer, request b2bSignHash) (any, error) {
			with, _ := findB2BAlgorithm(request.SignatureAlgorithm, request.HashAlgorithm)
			signatures := make([][]byte, len(request.Hashes))
			for i, text := range request.Hashes {
				hash, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return nil, err
				}
				if signatures[i], err = key.sign(hash, with.hash, with.pss); err != nil {
					return nil, err
				}
			}
			response, err := key.basicResponse()
			if err != nil {
				return nil, err
			}
			return map[string]any{"signatures": signatures, "ocspResponse": response}, nil
		}),
	}
}

// b2bCSCInfo describes the service. It needs no authorization.
func (s *Server) b2bCSCInfo(w http.ResponseWriter, _ *http.Request) {
	respondJSON(w, http.StatusOK, map[string]any{
		"specs":       "2.1.0.1", // "v2.1", says BankID's overview
		"name":        "BankID B2B SANDBOX",
		"logo":        s.origin + logoPath,
		"region":      "NO",
		"lang":        "en",
		"description": "A simulated BankID for tests and development. Nobody vouches for its signatures.",
		"authType":    []string{"oauth2client"},
		"oauth2":      s.issuer,
		"methods":     append([]string{"info"}, slices.Sorted(maps.Keys(s.b2bCSC()))...),
		"signAlgorithms": map[string]any{
			"algos": b2bSignatureAlgorithms(),
		},
		"signature_formats":  map[string]any{"formats": []string{"C", "X", "P"}},
		"conformance_levels": []string{"Ades-B-B"},
	})
}

func b2bSignatureAlgorithms() []string {
	return append(slices.Sorted(maps.Keys(b2bSignatureHashes())), rsaOID, pssOID)
}

// credential describes the only credential (CSC API v2, section 11.5).
func (s *sealer) credential(certificates string, certInfo, auth bool) map[string]any {
	info := map[string]any{
		"key":       map[string]any{"status": "enabled", "algo": b2bSignatureAlgorithms(), "len": s.key.N.BitLen()},
		"cert":      newCertificateInfo(s.chain, certificates, certInfo),
		"multisign": maxB2BHashes,
		"SCAL":      "1", // there is no signature activation data
	}
	if auth {
		info["auth"] = authInfo{Mode: "explicit", Objects: []string{}} // CSC has none for nothing to enter
	}
	return info
}
