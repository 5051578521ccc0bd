package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
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

// Members of an order beside its documents. "resultContent" is not among them:
// it is an object in v1 and a list in v0.
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
)

// defaultTimeout is how long a person may take to begin to sign, unless the
// order says otherwise.
const defaultTimeout = 1800 * time.Second

// An orderRequest is what matters of a new order.
type orderRequest struct {
	documents []document
	timeout   time.Duration
	convert   bool
}

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

// readDocuments reads a body that carries documents.
func readDocuments(w http.ResponseWriter, r *http.Request, decode func(*json.Decoder) error) *orderError {
	if !hasMediaType(r, "application/json") {
		return &orderError{http.StatusUnsupportedMediaType, "the body is not application/json"}
	}
	tooLarge := &orderError{http.StatusRequestEntityTooLarge, "the body is too large"}
	if r.ContentLength > maxOrder {
		return tooLarge
	}
	err := decode(json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder)))
	known, ok := errors.AsType[*orderError](err)
	switch {
	case err == nil:
		return nil
	case ok:
		return known
	case isTooLarge(err):
		return tooLarge
	default:
		return badOrder("the body is not the JSON that is documented")
	}
}

// decode reads an order document by document, so that neither a large body is
// in memory twice, nor a long list of nothing costs anything. Of the other
// members that BankID documents only the type is checked, unless they have an
// effect; unknown ones are ignored.
func (o *orderRequest) decode(body *json.Decoder) error {
	var sign signProperties
	var pades padesSignProperties
	err := decodeObject(body, func(member string) (err error) {
		switch member {
		case "documents":
			o.documents, err = decodeList(body, maxDocuments, document.check)
		case "signProperties":
			err = body.Decode(&sign)
		case "padesSignProperties":
			err = body.Decode(&pades)
		default:
			err = body.Decode(new(json.RawMessage))
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case len(o.documents) == 0:
		return badOrder("documents is empty")
	case sign.TimeoutSeconds < 0:
		return badOrder("timeoutSeconds is negative")
	case sign.TimeoutSeconds == 0:
		o.timeout = defaultTimeout
	default:
		seconds := min(sign.TimeoutSeconds, math.MaxInt32) // or the product could overflow
		o.timeout = time.Duration(seconds) * time.Second
	}
	o.convert = pades.UseConversion
	return nil
}

func (d document) check() *orderError {
	if !bytes.HasPrefix(d.PDF, []byte("%PDF-")) {
		return badOrder("pdf is not a PDF file")
	}
	return nil
}
