package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/internal/cms"
)

// Limits of B2B; see b2b-bankid-signer.external.yaml in
// https://github.com/BankIDNorge/bankid-esign-b2b.
const (
	maxB2BItems       = 15
	maxB2BText        = 5_000_000 // characters
	maxB2BDescription = 128       // characters
)

// Media types of what an SDO holds.
const (
	textPlain = "text/plain"
	pdfType   = "application/pdf"
	bidXML    = "text/BIDXML"
)

// The bodies of requests, named after the paths.
type (
	// tbsHash may have an empty description, but sdoFromHash may not.
	tbsHash struct {
		Hash        b2bHash `json:"hash"`
		MimeType    string  `json:"mime_type"`
		Description *string `json:"description"`
	}
	sdoFromHash    struct{ tbsHash }
	sdosFromHashes struct {
		Hashes []tbsHash `json:"tbs_hashes"`
	}
	// cmsesFromHashes is also that of pades/cmses_from_hashes.
	cmsesFromHashes []b2bHash
	sdoFromText     struct {
		Text        string `json:"text_to_sign"`
		Description string `json:"description"`
	}
	// tbsDocument has one of Text, PDF and BIDXML.
	tbsDocument struct {
		Text        *string         `json:"text_to_sign"`
		PDF         *string         `json:"pdf"`
		BIDXML      *bidXMLDocument `json:"bidxml"`
		Description string          `json:"description"`
	}
	bidXMLDocument struct {
		XML string `json:"xml"`
		XSL string `json:"xsl"`
	}
	sdosFromDocs struct {
		Documents []tbsDocument `json:"tbs_documents"`
	}
	// sdoFromCMSes has either Document, or MimeType and Description.
	sdoFromCMSes struct {
		CMSes       []cmsAndOCSP `json:"cms_and_ocsps"`
		Document    *tbsDocument `json:"document"`
		MimeType    *string      `json:"mime_type"`
		Description *string      `json:"description"`
	}
	cmsAndOCSP struct {
		CMS  string `json:"cms"`
		OCSP string `json:"ocsp"`
	}
	adesParameters struct {
		HashAlgorithm      string `json:"hashAlgorithmOID"`
		SignatureAlgorithm string `json:"signAlgo"`
	}
	xadesRequest struct {
		adesParameters
		XML       string `json:"xmlBytesB64"`
		Sign      string `json:"whatToSignId"`
		Place     string `json:"whereToPlaceSignatureId"`
		XAdESType string `json:"xadesType"`
	}
	padesRequest struct {
		adesParameters
		PDF       string `json:"pdfBytesB64"`
		PAdESType string `json:"padesType"`

		Reason      string `json:"reason"`
		SignerName  string `json:"signerName"`
		Location    string `json:"location"`
		ContactInfo string `json:"contactInfo"`
	}
)

// A b2bHash is a SHA-256 hash in base64.
type b2bHash string

func (h b2bHash) bytes() []byte {
	hash, err := base64.StdEncoding.Strict().DecodeString(string(h))
	if err != nil || len(hash) != sha256.Size || len(h) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return nil
	}
	return hash
}

func (h b2bHash) fault() *b2bError {
	if h.bytes() == nil {
		return badB2B("A hash is not the base64 of a SHA-256 hash")
	}
	return nil
}

func (t tbsHash) fault() *b2bError {
	if t.Description == nil {
		return badB2B("description is missing")
	}
	return first(t.Hash.fault(), mimeTypeFault(t.MimeType), textFault("description", *t.Description, 0, maxB2BDescription))
}

func (s sdoFromHash) fault() *b2bError {
	if fault := s.tbsHash.fault(); fault != nil {
		return fault
	}
	return descriptionFault(*s.Description)
}

func (s sdosFromHashes) fault() *b2bError { return listFault("tbs_hashes", s.Hashes, 1, tbsHash.fault) }

func (c cmsesFromHashes) fault() *b2bError {
	return listFault("the list of hashes", c, 0, b2bHash.fault)
}

func (s sdoFromText) fault() *b2bError {
	return tbsDocument{Text: &s.Text, Description: s.Description}.fault()
}

func (s sdosFromDocs) fault() *b2bError {
	return listFault("tbs_documents", s.Documents, 1, tbsDocument.fault)
}

func (d tbsDocument) fault() *b2bError {
	kinds := 0
	for _, given := range []bool{d.Text != nil, d.PDF != nil, d.BIDXML != nil} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		return unsupportedB2B("A document does not have exactly one of text_to_sign, pdf and bidxml")
	}
	fault := descriptionFault(d.Description)
	switch {
	case fault != nil:
	case d.Text != nil:
		fault = textFault("text_to_sign", *d.Text, 1, maxB2BText)
		if fault == nil && strings.ContainsFunc(*d.Text, func(c rune) bool { return c > 0xff }) {
			fault = badB2B("text_to_sign has a character that is not in ISO 8859-1")
		}
	case d.PDF != nil:
		fault = first(textFault("pdf", *d.PDF, 1, maxB2BText), pdfFault("pdf", *d.PDF))
	default:
		fault = first(textFault("xml", d.BIDXML.XML, 1, maxB2BText), textFault("xsl", d.BIDXML.XSL, 1, maxB2BText),
			xmlMemberFault("xml", d.BIDXML.XML), xmlMemberFault("xsl", d.BIDXML.XSL))
	}
	return fault
}

// content returns the media type and the bytes of a faultless document. Of
// BIDXML no page says which bytes are signed; here it is xml and then xsl.
func (d tbsDocument) content() (string, []byte) {
	switch {
	case d.Text != nil:
		latin1 := make([]byte, 0, len(*d.Text))
		for _, c := range *d.Text {
			latin1 = append(latin1, byte(c)) //nolint:gosec // fault refuses what does not fit
		}
		return textPlain, latin1
	case d.PDF != nil:
		pdf, _ := base64.StdEncoding.DecodeString(*d.PDF) // fault saw that it can be
		return pdfType, pdf
	default:
		return bidXML, []byte(d.BIDXML.XML + d.BIDXML.XSL)
	}
}

func (s sdoFromCMSes) fault() *b2bError {
	if n := len(s.CMSes); n < 1 || n > maxB2BItems {
		return badB2B(fmt.Sprintf("cms_and_ocsps does not have 1 to %d elements", maxB2BItems))
	}
	one, _ := s.CMSes[0].hash()
	for _, c := range s.CMSes {
		hash, ok := c.hash()
		switch response, err := base64.StdEncoding.DecodeString(c.OCSP); {
		case !ok:
			return badCMS("A cms is not the base64 of a CMS with one signature, which is with SHA256WithRSA")
		case err != nil || !isOCSP(response):
			return badCMS("An ocsp is not the base64 of an OCSP response")
		case !bytes.Equal(hash, one):
			return badCMS("The cms are not signatures of the same document")
		}
	}
	switch {
	case s.Document != nil && s.MimeType == nil && s.Description == nil:
		if fault := s.Document.fault(); fault != nil {
			return fault
		}
		if _, content := s.Document.content(); sha256.Sum256(content) != [sha256.Size]byte(one) {
			return badCMS("The cms are signatures of another document")
		}
		return nil
	case s.Document == nil && s.MimeType != nil && s.Description != nil:
		return first(mimeTypeFault(*s.MimeType), descriptionFault(*s.Description))
	default:
		return unsupportedB2B("There is not either a document, or a mime_type and a description")
	}
}

// hash returns the hash that the signature is for.
func (c cmsAndOCSP) hash() ([]byte, bool) {
	signature, err := base64.StdEncoding.DecodeString(c.CMS)
	if err != nil {
		return nil, false
	}
	return cms.SignedHash(signature)
}

func (x xadesRequest) fault() *b2bError {
	document, err := base64.StdEncoding.DecodeString(x.XML)
	if err != nil {
		return badB2B("xmlBytesB64 is not base64")
	}
	if err := xmlFault(document); err != nil {
		return unsupportedB2B("xmlBytesB64 is not XML that can be signed: " + err.Error())
	}
	switch {
	case x.Sign != "" && x.Sign[0] != '#', x.Place != "" && x.Place[0] != '#':
		return badB2B("An element id does not start with #")
	}
	return first(x.adesParameters.fault(), levelFault("xadesType", x.XAdESType))
}

func (p padesRequest) fault() *b2bError {
	return first(pdfFault("pdfBytesB64", p.PDF), p.adesParameters.fault(), levelFault("padesType", p.PAdESType))
}

func (a adesParameters) fault() *b2bError {
	if _, ok := findB2BAlgorithm(a.SignatureAlgorithm, a.HashAlgorithm); !ok || a.HashAlgorithm == "" {
		return badB2B("hashAlgorithmOID and signAlgo are not a supported pair")
	}
	return nil
}

// first returns the first fault that is one.
func first(faults ...*b2bError) *b2bError {
	for _, fault := range faults {
		if fault != nil {
			return fault
		}
	}
	return nil
}

// listFault tells what is wrong with the length of a list, or with an element.
func listFault[T any](name string, list []T, least int, fault func(T) *b2bError) *b2bError {
	if len(list) < least || len(list) > maxB2BItems {
		return badB2B(fmt.Sprintf("%s does not have %d to %d elements", name, least, maxB2BItems))
	}
	for i, element := range list {
		if wrong := fault(element); wrong != nil {
			wrong.description = fmt.Sprintf("%s, element %d: %s", name, i+1, wrong.description)
			return wrong
		}
	}
	return nil
}

func textFault(name, value string, least, most int) *b2bError {
	switch n := utf8.RuneCountInString(value); {
	case n < least:
		return badB2B(name + " is missing or empty")
	case n > most:
		return badB2B(fmt.Sprintf("%s has more than %d characters", name, most))
	}
	return nil
}

func descriptionFault(value string) *b2bError {
	return textFault("description", value, 1, maxB2BDescription)
}

func pdfFault(name, value string) *b2bError {
	file, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return badB2B(name + " is not base64")
	}
	switch fault, reason := (document{PDF: file}).fault(anySignatures); {
	case reason != nil:
		return unsupportedB2B(name + " is not a PDF file that can be read: " + reason.Error())
	case fault != "":
		return unsupportedB2B(name + ": " + fault)
	}
	return nil
}

func xmlMemberFault(name, value string) *b2bError {
	if err := xmlTextFault(value); err != nil {
		return unsupportedB2B(name + " is not XML that can be signed: " + err.Error())
	}
	return nil
}

func mimeTypeFault(value string) *b2bError {
	if !slices.Contains([]string{textPlain, pdfType, bidXML}, value) {
		return badB2B("mime_type is not one of " + textPlain + ", " + pdfType + " and " + bidXML)
	}
	return nil
}

func levelFault(name, value string) *b2bError {
	if value != "B" && value != "LT" {
		return badB2B(name + " is neither B nor LT")
	}
	return nil
}
