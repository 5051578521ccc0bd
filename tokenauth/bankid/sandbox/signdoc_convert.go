package sandbox

import (
	"net/http"
)

const (
	// maxConversions is how many documents one call converts; see
	// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/v1/convert.external.yaml.
	maxConversions = 15

	// pdfA2B is the only target of conversion, of the same source.
	pdfA2B = "PDFA_2B"

	unconverted = "SANDBOX: nothing was converted"
)

// A convertAPI converts PDFs for signing, in one version of SignDoc.
type convertAPI struct {
	tokens *accessTokens
	refuse func(http.ResponseWriter, admission)
	decode func(jsonReader) ([]conversion, error)
}

// A conversion is one PDF to convert.
type conversion struct {
	PDFSpec string `json:"pdfSpec"`
	document
}

// convertV1 is that of v1: the body is a list of documents.
func (s *Server) convertV1() *convertAPI {
	return &convertAPI{tokens: s.tokens, refuse: s.refuseV1(), decode: func(body jsonReader) ([]conversion, error) {
		list, err := decodeConversions(body)
		if err != nil {
			return nil, err
		}
		return list, body.end()
	}}
}

// convertV0 is that of v0: the list is the member "documents" of an object.
func (s *Server) convertV0() *convertAPI {
	return &convertAPI{tokens: s.tokens, refuse: refuseV0, decode: func(body jsonReader) (list []conversion, err error) {
		err = decodeObject(body, func(member string) (err error) {
			if member != "documents" {
				return body.skip()
			}
			list, err = decodeConversions(body)
			return err
		})
		return list, err
	}}
}

func decodeConversions(body jsonReader) ([]conversion, error) {
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
		respondJSON(w, http.StatusOK, map[string][]string{"pdfSpecs": {pdfA2B}})
	}
}

// convert responds with the documents, and with 400 if one of them cannot be
// converted.
func (c *convertAPI) convert(w http.ResponseWriter, r *http.Request) {
	if !c.admit(w, r) {
		return
	}
	var list []conversion
	failed := readDocuments(w, r, func(body jsonReader) (err error) {
		list, err = c.decode(body)
		if err == nil && len(list) == 0 {
			return badOrder("documents is empty")
		}
		return err
	})
	if failed != nil {
		respondJSON(w, failed.status, failed.reason)
		return
	}
	documents := make([]document, len(list))
	for i, c := range list {
		documents[i] = c.document
	}
	response, ok := inspect(documents, noSignatures)
	for i := range response.Results {
		if result := &response.Results[i]; len(result.Errors) == 0 {
			result.Converted, result.Document = true, documents[i].PDF
			result.Warnings = []string{unconverted}
		}
	}
	if !ok {
		respondJSON(w, http.StatusBadRequest, response)
		return
	}
	respondJSON(w, http.StatusOK, response)
}

func (c *convertAPI) admit(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	why := c.tokens.admit(r, signDocScopes()...)
	if why != admitted {
		c.refuse(w, why)
	}
	return why == admitted
}
