package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Limits of an order; see
// https://developer.bankid.no/bankid-esign-provider/apis/signdoc/v1/v1-pades-fields.
const (
	maxDocuments = 30
	maxPDF       = 40 << 20 // base64 characters of one document

	// maxOrder bounds the body of an order. BankID documents no limit; 30
	// documents of the greatest size would be 1.2 GiB.
	maxOrder = 64 << 20
)

// Members of an order beside its documents.
type (
	signProperties struct {
		OrderName      string `json:"orderName"`
		TimeoutSeconds int    `json:"timeoutSeconds"`
		RedirectURL    string `json:"redirectUrl"`
	}
	padesSignProperties struct {
		AddVisualSeals bool `json:"addVisualSeals"`
		ExtendToLTA    bool `json:"extendToLTA"`
		UseConversion  bool `json:"useConversion"`
	}
	resultContent struct {
		RequestSignerInfo bool `json:"requestSignerInfo"`
	}
)

// A document is one PDF of an order.
type document struct {
	Description string  `json:"description"`
	PDF         pdfFile `json:"pdf"`
}

// An orderError says what is wrong with an order, in words for the caller.
type orderError struct {
	status int
	reason string
}

func (e *orderError) Error() string { return e.reason }

func badOrder(format string, arguments ...any) *orderError {
	return &orderError{status: http.StatusBadRequest, reason: fmt.Sprintf(format, arguments...)}
}

// A pdfFile is the content of a PDF, base64 in JSON.
type pdfFile []byte

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *pdfFile) UnmarshalText(text []byte) error {
	if len(text) > maxPDF {
		return badOrder("pdf is longer than %d characters", maxPDF)
	}
	pdf, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return badOrder("pdf is not base64")
	}
	*p = pdf
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (p pdfFile) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, p), nil
}

// readOrder reads the documents of a new order.
func readOrder(w http.ResponseWriter, r *http.Request) ([]document, *orderError) {
	if !hasMediaType(r, "application/json") {
		return nil, &orderError{http.StatusUnsupportedMediaType, "the body is not application/json"}
	}
	tooLarge := &orderError{http.StatusRequestEntityTooLarge, "the body is too large"}
	if r.ContentLength > maxOrder {
		return nil, tooLarge
	}
	documents, err := decodeOrder(json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder)))
	if err != nil {
		known, ok := errors.AsType[*orderError](err)
		switch {
		case ok:
			return nil, known
		case isTooLarge(err):
			return nil, tooLarge
		default:
			return nil, badOrder("the body is not the JSON of an order")
		}
	}
	if len(documents) == 0 {
		return nil, badOrder("documents is empty")
	}
	return documents, nil
}

// decodeOrder reads the documents of an order one by one, so that neither a
// large body is in memory twice, nor a long list of nothing costs anything. Of
// the other members that BankID documents only the type is checked; unknown
// ones are ignored.
func decodeOrder(body *json.Decoder) ([]document, error) {
	if err := expect(body, json.Delim('{'), "the body is not an object"); err != nil {
		return nil, err
	}
	var documents []document
	for body.More() {
		member, err := body.Token()
		if err != nil {
			return nil, err
		}
		switch member {
		case "documents":
			documents, err = decodeDocuments(body)
		case "signProperties":
			err = body.Decode(new(signProperties))
		case "padesSignProperties":
			err = body.Decode(new(padesSignProperties))
		case "resultContent":
			err = body.Decode(new(resultContent))
		default:
			err = body.Decode(new(json.RawMessage))
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := body.Token(); err != nil { // the object's end
		return nil, err
	}
	switch _, err := body.Token(); {
	case err == nil:
		return nil, badOrder("the body has more than one JSON value")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return documents, nil
}

func decodeDocuments(body *json.Decoder) ([]document, error) {
	if err := expect(body, json.Delim('['), "documents is not an array"); err != nil {
		return nil, err
	}
	var documents []document
	for body.More() {
		if len(documents) == maxDocuments {
			return nil, badOrder("documents has more than %d elements", maxDocuments)
		}
		number := len(documents) + 1
		var d document
		if err := body.Decode(&d); err != nil {
			if known, ok := errors.AsType[*orderError](err); ok {
				return nil, badOrder("document %d: %s", number, known.reason)
			}
			return nil, err
		}
		if !bytes.HasPrefix(d.PDF, []byte("%PDF-")) {
			return nil, badOrder("document %d: pdf is not a PDF file", number)
		}
		documents = append(documents, d)
	}
	_, err := body.Token() // the array's end
	return documents, err
}

// expect reads the delimiter that starts an object or an array.
func expect(body *json.Decoder, start json.Delim, otherwise string) error {
	switch got, err := body.Token(); {
	case err != nil:
		return err
	case got != start:
		return badOrder("%s", otherwise)
	}
	return nil
}
