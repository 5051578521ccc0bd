package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
)

// A resultContent says what of the members of a result an order asks for.
type resultContent struct {
	signed, appendix, hashes bool // of each document
	signerInfo               bool // of the order
}

// contentV0 reads what an order of SignDoc v0 asks for, and v0 has no default;
// see https://confluence.bankidnorge.no/confluence/pdoidcl/technical-documentation/api/signdoc-pades.
func contentV0(member json.RawMessage) (resultContent, error) {
	var list []string
	if member != nil {
		if err := newJSONReader(bytes.NewReader(member)).member("resultContent", &list); err != nil {
			return resultContent{}, err
		}
	}
	for _, wanted := range list {
		if !slices.Contains([]string{"padesSignedPdf", "padesAppendix", "documentHash"}, wanted) {
			return resultContent{}, badOrder("resultContent has %q, which is none of padesSignedPdf, padesAppendix and documentHash", abridged(wanted))
		}
	}
	c := resultContent{
		signed:   slices.Contains(list, "padesSignedPdf"),
		appendix: slices.Contains(list, "padesAppendix"),
		hashes:   slices.Contains(list, "documentHash"),
	}
	if !c.signed && !c.appendix {
		return resultContent{}, badOrder("resultContent has neither padesSignedPdf nor padesAppendix")
	}
	return c, nil
}

// contentV1 reads what an order of SignDoc v1 asks for; see
// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/jwks-api.
func contentV1(member json.RawMessage) (resultContent, error) {
	var wanted struct {
		RequestSignerInfo bool `json:"requestSignerInfo"`
	}
	if member != nil {
		if err := newJSONReader(bytes.NewReader(member)).member("resultContent", &wanted); err != nil {
			return resultContent{}, err
		}
	}
	return resultContent{signed: true, hashes: true, signerInfo: wanted.RequestSignerInfo}, nil
}

// contentLTA is what timestamping has, whatever an order asks for.
func contentLTA(json.RawMessage) (resultContent, error) {
	return resultContent{signed: true, hashes: true}, nil
}

// Responses about orders.
type (
	orderStatus struct {
		SignID string `json:"signId"`
		State  string `json:"orderState"`
		Name   string `json:"orderName,omitempty"`
	}
	// plainStatus is the other reading of what v1 has, see [Assumptions].
	plainStatus struct {
		SignID string `json:"sign_id"`
		State  string `json:"status"`
	}
	orderResult struct {
		orderStatus

		Results    []documentResult `json:"signingResults"`
		SignerInfo string           `json:"signerInfo,omitempty"` // a JWT
	}
	documentResult struct {
		Description  string  `json:"description"`
		Signed       pdfFile `json:"padesSignedPdf,omitempty"`
		Appendix     pdfFile `json:"padesAppendix,omitempty"` // what signing added to the document
		SignedHash   []byte  `json:"signedDocumentSha256,omitempty"`
		UnsignedHash []byte  `json:"unsignedDocumentSha256,omitempty"`
	}
)

// result is what the download of a document has of it, once it is signed.
func (c resultContent) result(d document, signed pdfFile) documentResult {
	r := documentResult{Description: d.Description}
	if c.signed {
		r.Signed = signed
	}
	if c.appendix {
		r.Appendix = signed[len(d.PDF):]
	}
	if c.hashes {
		before, after := sha256.Sum256(d.PDF), sha256.Sum256(signed)
		r.UnsignedHash, r.SignedHash = before[:], after[:]
	}
	return r
}
