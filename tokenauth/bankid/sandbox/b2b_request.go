package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
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
	// tbsHash is also the body of sdo_from_hash.
	tbsHash struct {
		Hash        b2bHash `json:"hash"`
		MimeType    string  `json:"mime_type"`
		Description string  `json:"description"`
	}
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
		Reason    string `json:"reason"`
		PAdESType string `json:"padesType"`
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

func (h b2bHash) fault() string {
	if h.bytes() == nil {
		return "A hash is not the base64 of a SHA-256 hash"
	}
	return ""
}

func (t tbsHash) fault() string {
	return first(t.Hash.fault(), mimeTypeFault(t.MimeType), textFault("description", t.Description, maxB2BDescription))
}

func (s sdosFromHashes) fault() string { return listFault("tbs_hashes", s.Hashes, tbsHash.fault) }

func (c cmsesFromHashes) fault() string { return listFault("the list of hashes", c, b2bHash.fault) }

func (s sdoFromText) fault() string {
	return tbsDocument{Text: &s.Text, Description: s.Description}.fault()
}

func (s sdosFromDocs) fault() string {
	return listFault("tbs_documents", s.Documents, tbsDocument.fault)
}

func (d tbsDocument) fault() string {
	kinds := 0
	for _, given := range []bool{d.Text != nil, d.PDF != nil, d.BIDXML != nil} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		return "A document does not have exactly one of text_to_sign, pdf and bidxml"
	}
	fault := textFault("description", d.Description, maxB2BDescription)
	switch {
	case fault != "":
	case d.Text != nil:
		fault = textFault("text_to_sign", *d.Text, maxB2BText)
		if fault == "" && strings.ContainsFunc(*d.Text, func(c rune) bool { return c > 0xff }) {
			fault = "text_to_sign has a character that is not in ISO 8859-1"
		}
	case d.PDF != nil:
		fault = textFault("pdf", *d.PDF, maxB2BText)
		if fault == "" {
			fault = pdfFault("pdf", *d.PDF)
		}
	default:
		fault = first(textFault("xml", d.BIDXML.XML, maxB2BText), textFault("xsl", d.BIDXML.XSL, maxB2BText))
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

func (s sdoFromCMSes) fault() string {
	if n := len(s.CMSes); n < 1 || n > maxB2BItems {
		return fmt.Sprintf("cms_and_ocsps does not have 1 to %d elements", maxB2BItems)
	}
	for _, c := range s.CMSes {
		hash, ok := c.hash()
		switch _, err := base64.StdEncoding.DecodeString(c.OCSP); {
		case !ok:
			return "A cms is not the base64 of a signature in CMS"
		case err != nil || c.OCSP == "":
			return "An ocsp is missing or not base64"
		}
		if one, _ := s.CMSes[0].hash(); !bytes.Equal(hash, one) {
			return "The cms are not signatures of the same document"
		}
	}
	switch {
	case s.Document != nil && s.MimeType == nil && s.Description == nil:
		return s.Document.fault()
	case s.Document == nil && s.MimeType != nil && s.Description != nil:
		return first(mimeTypeFault(*s.MimeType), textFault("description", *s.Description, maxB2BDescription))
	default:
		return "There is not either a document, or a mime_type and a description"
	}
}

// hash returns the hash that the signature is for.
func (c cmsAndOCSP) hash() ([]byte, bool) {
	cms, err := base64.StdEncoding.DecodeString(c.CMS)
	if err != nil {
		return nil, false
	}
	return signedHash(cms)
}

func (x xadesRequest) fault() string {
	xml, err := base64.StdEncoding.DecodeString(x.XML)
	switch {
	case err != nil || !bytes.HasPrefix(bytes.TrimSpace(xml), []byte("<")):
		return "xmlBytesB64 is not the base64 of XML"
	case x.Sign != "" && x.Sign[0] != '#', x.Place != "" && x.Place[0] != '#':
		return "An element id does not start with #"
	}
	return first(x.adesParameters.fault(), levelFault("xadesType", x.XAdESType))
}

func (p padesRequest) fault() string {
	return first(pdfFault("pdfBytesB64", p.PDF), p.adesParameters.fault(), levelFault("padesType", p.PAdESType))
}

func (a adesParameters) fault() string {
	if _, ok := findB2BAlgorithm(a.SignatureAlgorithm, a.HashAlgorithm); !ok || a.HashAlgorithm == "" {
		return "hashAlgorithmOID and signAlgo are not a supported pair"
	}
	return ""
}

// first returns the first fault that is one.
func first(faults ...string) string {
	return faults[max(0, slices.IndexFunc(faults, func(fault string) bool { return fault != "" }))]
}

// listFault tells what is wrong with the length of a list, or with an element.
func listFault[T any](name string, list []T, fault func(T) string) string {
	if len(list) < 1 || len(list) > maxB2BItems {
		return fmt.Sprintf("%s does not have 1 to %d elements", name, maxB2BItems)
	}
	for i, element := range list {
		if wrong := fault(element); wrong != "" {
			return fmt.Sprintf("%s, element %d: %s", name, i+1, wrong)
		}
	}
	return ""
}

func textFault(name, value string, most int) string {
	if n := utf8.RuneCountInString(value); n < 1 || n > most {
		return fmt.Sprintf("%s does not have 1 to %d characters", name, most)
	}
	return ""
}

func pdfFault(name, value string) string {
	pdf, err := base64.StdEncoding.DecodeString(value)
	if err != nil || !bytes.HasPrefix(pdf, []byte("%PDF-")) {
		return name + " is not the base64 of a PDF file"
	}
	return ""
}

func mimeTypeFault(value string) string {
	if !slices.Contains([]string{textPlain, pdfType, bidXML}, value) {
		return "mime_type is not one of " + textPlain + ", " + pdfType + " and " + bidXML
	}
	return ""
}

func levelFault(name, value string) string {
	if value != "B" && value != "LT" {
		return name + " is neither B nor LT"
	}
	return ""
}
