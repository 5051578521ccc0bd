package sandbox

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
)

const (
	// maxConversions is how many documents one call converts; see
	// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/v1/convert.external.yaml.
	maxConversions = 15

	// pdfA2B is the only target of conversion, of the same source.
	pdfA2B = "PDFA_2B"

	unconverted = "SANDBOX: these are the uploaded bytes; nothing was converted"
)

// Errors of a conversion; see
// https://developer.bankid.no/bankid-oidc-provider/api/signing/signdoc-convert.
const (
	corruptDocument = "Document is corrupt"
	signedDocument  = "Document contains signatures"
)

// A convertAPI converts PDFs for signing, in one version of SignDoc.
type convertAPI struct {
	tokens *accessTokens
	refuse func(http.ResponseWriter, admission)
	decode func(*json.Decoder) ([]conversion, error)
}

// A conversion is one PDF to convert.
type conversion struct {
	PDFSpec string `json:"pdfSpec"`
	document
}

// convertV1 is that of v1: the body is a list of documents.
func (s *Server) convertV1() *convertAPI {
	return &convertAPI{tokens: s.tokens, refuse: s.refuseV1(), decode: func(body *json.Decoder) ([]conversion, error) {
		list, err := decodeConversions(body)
		if err != nil {
			return nil, err
		}
		return list, decodeEnd(body)
	}}
}

// convertV0 is that of v0: the list is the member "documents" of an object.
func (s *Server) convertV0() *convertAPI {
	return &convertAPI{tokens: s.tokens, refuse: refuseV0, decode: func(body *json.Decoder) (list []conversion, err error) {
		err = decodeObject(body, func(member string) (err error) {
			if member != "documents" {
				return body.Decode(new(json.RawMessage))
			}
			list, err = decodeConversions(body)
			return err
		})
		return list, err
	}}
}

func decodeConversions(body *json.Decoder) ([]conversion, error) {
	return decodeList(body, maxConversions, conversion.check)
}

func (c conversion) check() *orderError {
	switch {
	case c.PDFSpec != pdfA2B:
		return badOrder("pdfSpec is not " + pdfA2B)
	case len(c.PDF) == 0:
		return badOrder("pdf is missing")
	}
	return nil
}

// specs lists what can be converted to.
func (c *convertAPI) specs(w http.ResponseWriter, r *http.Request) {
	if c.admit(w, r) {
		answerJSON(w, http.StatusOK, map[string][]string{"pdfSpecs": {pdfA2B}})
	}
}

// convert answers with the documents, and with 400 if one of them cannot be
// converted.
func (c *convertAPI) convert(w http.ResponseWriter, r *http.Request) {
	if !c.admit(w, r) {
		return
	}
	var list []conversion
	failed := readDocuments(w, r, func(body *json.Decoder) (err error) {
		list, err = c.decode(body)
		if err == nil && len(list) == 0 {
			return badOrder("documents is empty")
		}
		return err
	})
	if failed != nil {
		answerJSON(w, failed.status, failed.reason)
		return
	}
	result, ok := convert(list)
	if !ok {
		answerJSON(w, http.StatusBadRequest, result)
		return
	}
	answerJSON(w, http.StatusOK, result)
}

func (c *convertAPI) admit(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	why := c.tokens.admit(r, signDocScopes()...)
	if why != admitted {
		c.refuse(w, why)
	}
	return why == admitted
}

// Answer of a conversion, of the same source as its errors.
type (
	conversionAnswer struct {
		Sandbox string             `json:"sandbox"`
		Results []conversionResult `json:"conversionResults"`
	}
	conversionResult struct {
		ID          string   `json:"conversionId"`
		Description string   `json:"description"`
		Converted   bool     `json:"converted"`
		Errors      []string `json:"conversionErrors"`
		Warnings    []string `json:"conversionWarnings"`
		Document    pdfFile  `json:"convertedDocument,omitempty"`
	}
)

// convert says of each document whether it could be converted, and tells
// whether all could.
func convert(list []conversion) (conversionAnswer, bool) {
	results, all := make([]conversionResult, len(list)), true
	for i, c := range list {
		result := conversionResult{ID: rand.Text(), Description: c.Description, Errors: []string{}, Warnings: []string{}}
		switch {
		case !bytes.HasPrefix(c.PDF, []byte("%PDF-")):
			result.Errors = append(result.Errors, corruptDocument)
		case bytes.Contains(c.PDF, []byte("/ByteRange")): // of a signature (ISO 32000-1, section 12.8)
			result.Errors = append(result.Errors, signedDocument)
		default:
			result.Converted = true
			result.Document = c.PDF
		}
		results[i] = result
		all = all && result.Converted
	}
	return conversionAnswer{Sandbox: unconverted, Results: results}, all
}
