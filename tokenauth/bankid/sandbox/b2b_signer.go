package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"time"
)

// What responses say of what the sandbox cannot make.
const (
	noSDO  = "SANDBOX: this is not a SEID-SDO; the CMS is real, by a key that nobody vouches for"
	noAdES = "SANDBOX: not signed, these are the uploaded bytes"
)

// The bodies of responses.
type (
	hashAndSDO struct {
		Hash []byte `json:"signed_hash"`
		SDO  []byte `json:"sdo"`
	}
	hashAndCMS struct {
		Hash []byte `json:"signed_hash"`
		CMS  []byte `json:"cms"`
	}
	hashesAndCMSes struct {
		OCSP    []byte       `json:"client_ocsp"`
		Results []hashAndCMS `json:"sign_results"`
	}
	adesSummary struct {
		Level      string `json:"conformanceLevel"`
		Indication string `json:"mainIndication"`
		Sub        string `json:"subIndication"`
		Time       string `json:"signingTime"`
		Signer     string `json:"signerName"`
	}
)

// sandboxSDO stands for an SDO.
type sandboxSDO struct {
	XMLName     xml.Name `xml:"SANDBOX"`
	Notice      string
	Description string
	MimeType    string
	Hash        string   // base64 of the SHA-256 hash that CMS is for
	CMS         []string // base64
	Document    string   `xml:",omitempty"` // base64
}

// b2bSigner is the B2B signer v0, a synchronous API: see
// b2b-bankid-signer.external.yaml in https://github.com/BankIDNorge/bankid-esign-b2b.
func (s *Server) b2bSigner() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"sdo_from_hash": b2b(s, func(key *sealer, request sdoFromHash) (any, error) {
			return key.sdoOfHash(request.tbsHash)
		}),
		"sdos_from_hashes": b2b(s, func(key *sealer, request sdosFromHashes) (any, error) {
			return each(request.Hashes, key.sdoOfHash)
		}),
		"cmses_from_hashes": b2b(s, func(key *sealer, request cmsesFromHashes) (any, error) {
			return key.cmses(request, key.basicResponse)
		}),
		"pades/cmses_from_hashes": b2b(s, func(key *sealer, request cmsesFromHashes) (any, error) {
			return key.cmses(request, key.response)
		}),
		"sdo_from_text": b2b(s, func(key *sealer, request sdoFromText) (any, error) {
			return key.sdoOfDocument(tbsDocument{Text: &request.Text, Description: request.Description})
		}),
		"sdos_from_docs": b2b(s, func(key *sealer, request sdosFromDocs) (any, error) {
			return each(request.Documents, key.sdoOfDocument)
		}),
		"sdo_from_cmses": b2b(s, packSDO),
		"ades/xades": b2b(s, func(key *sealer, request xadesRequest) (any, error) {
			return key.ades("xadesB64", request.XML)
		}),
		"ades/pades": b2b(s, func(key *sealer, request padesRequest) (any, error) {
			return key.ades("padesB64", request.PDF)
		}),
	}
}

// each makes a result for each element.
func each[T, R any](list []T, make func(T) (R, error)) (any, error) {
	var results []R
	for _, element := range list {
		result, err := make(element)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// cmses signs hashes, and adds the response about the certificate.
func (s *sealer) cmses(request cmsesFromHashes, respond func() ([]byte, error)) (any, error) {
	response, err := respond()
	if err != nil {
		return nil, err
	}
	answer := hashesAndCMSes{OCSP: response, Results: []hashAndCMS{}}
	for _, hash := range request {
		cms, err := s.cms(hash.bytes())
		if err != nil {
			return nil, err
		}
		answer.Results = append(answer.Results, hashAndCMS{Hash: hash.bytes(), CMS: cms})
	}
	return answer, nil
}

// sdoOfHash leaves the document out: adding it is the client's part.
func (s *sealer) sdoOfHash(request tbsHash) (hashAndSDO, error) {
	return s.sdo(request.Hash.bytes(), sandboxSDO{Description: *request.Description, MimeType: request.MimeType})
}

func (s *sealer) sdoOfDocument(document tbsDocument) (hashAndSDO, error) {
	mimeType, content := document.content()
	hash := sha256.Sum256(content)
	return s.sdo(hash[:], sandboxSDO{
		Description: document.Description, MimeType: mimeType, Document: base64.StdEncoding.EncodeToString(content),
	})
}

// sdo adds a signature to what stands for an SDO.
func (s *sealer) sdo(hash []byte, sdo sandboxSDO) (hashAndSDO, error) {
	cms, err := s.cms(hash)
	if err != nil {
		return hashAndSDO{}, err
	}
	sdo.CMS = []string{base64.StdEncoding.EncodeToString(cms)}
	return sdo.with(hash)
}

// with completes what stands for an SDO.
func (sdo sandboxSDO) with(hash []byte) (hashAndSDO, error) {
	sdo.Notice = noSDO
	sdo.Hash = base64.StdEncoding.EncodeToString(hash)
	text, err := xml.Marshal(sdo)
	return hashAndSDO{Hash: hash, SDO: text}, err
}

// packSDO packs the signatures of others; an SDO is sealed in addition, what
// stands for one is not.
func packSDO(_ *sealer, request sdoFromCMSes) (any, error) {
	var sdo sandboxSDO
	for _, c := range request.CMSes {
		sdo.CMS = append(sdo.CMS, c.CMS)
	}
	if request.Document == nil {
		sdo.MimeType, sdo.Description = *request.MimeType, *request.Description
	} else {
		mimeType, content := request.Document.content()
		sdo.MimeType, sdo.Description = mimeType, request.Document.Description
		sdo.Document = base64.StdEncoding.EncodeToString(content)
	}
	hash, _ := request.CMSes[0].hash()
	return sdo.with(hash)
}

// ades returns a document as it was uploaded, under the name that a response has
// for it.
func (s *sealer) ades(name, document string) (any, error) {
	response, err := s.basicResponse()
	if err != nil {
		return nil, err
	}
	return map[string]any{name: document, "ocspB64": response, "adesVSummaries": unsignedAdES(s.ca.clock.now())}, nil
}

// unsignedAdES is a summary as of validation, in BankID's members.
func unsignedAdES(now time.Time) []adesSummary {
	return []adesSummary{{
		Level: noAdES, Indication: "INDETERMINATE", Sub: "SANDBOX",
		Time: now.UTC().Format(time.RFC3339), Signer: "SANDBOX",
	}}
}
