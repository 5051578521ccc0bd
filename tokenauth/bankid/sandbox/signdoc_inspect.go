package sandbox

import (
	"crypto/rand"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pades"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/pdf"
)

// What can be wrong with a document. The first two are those of
// https://developer.bankid.no/bankid-oidc-provider/api/signing/signdoc-convert;
// BankID's words for the others are not known.
const (
	corruptDocument   = "Document is corrupt"
	signedDocument    = "Document contains signatures"
	encryptedDocument = "Document is encrypted"
	unsignedDocument  = "Document contains no signatures"
)

// A signatureRule says which documents are taken.
type signatureRule int

const (
	anySignatures  signatureRule = iota
	noSignatures                 // a conversion would break them
	someSignatures               // there is nothing to timestamp without
)

// Response about documents: that of a conversion, and the refusal of an order. See
// https://developer.bankid.no/bankid-oidc-provider/api/signing/signdoc-convert
// and https://developer.bankid.no/bankid-esign-provider/apis/signdoc/errors.
type (
	conversionResponse struct {
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

// inspect says of each document what is wrong with it, and tells whether nothing
// is.
func inspect(documents []document, rule signatureRule) (conversionResponse, bool) {
	results, all := make([]conversionResult, len(documents)), true
	for i, d := range documents {
		result := conversionResult{ID: rand.Text(), Description: d.Description, Errors: []string{}, Warnings: []string{}}
		if fault, reason := d.fault(rule); fault != "" {
			all = false
			result.Errors = []string{fault}
			if reason != nil {
				result.Warnings = []string{"SANDBOX: " + reason.Error()}
			}
		}
		results[i] = result
	}
	return conversionResponse{Results: results}, all
}

// fault tells what is wrong with a document, "" if nothing is, and why the
// sandbox thinks so.
func (d document) fault(rule signatureRule) (string, error) {
	file, err := pdf.Open(d.PDF)
	switch {
	case err != nil:
		return corruptDocument, err
	case file.Encrypted():
		return encryptedDocument, nil
	}
	signatures, err := file.Signatures()
	switch {
	case err != nil:
		return corruptDocument, err
	case rule == noSignatures && len(signatures) > 0:
		return signedDocument, nil
	case rule == someSignatures && len(signatures) == 0:
		return unsignedDocument, nil
	case rule == noSignatures: // readers repair what they convert
		return "", nil
	}
	check := pades.Check
	if rule == someSignatures {
		check = pades.CheckExtend
	}
	if err := check(d.PDF); err != nil {
		return corruptDocument, err
	}
	return "", nil
}
