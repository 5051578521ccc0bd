package sandbox

import (
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
	// maxOrderName bounds the name of an order, in bytes. It is in the descriptions of
	// up to 30 documents. BankID documents no limit.
	maxOrderName = 4 << 10
	// maxRedirectURL bounds redirectUrl, in bytes: it has to fit into a header. BankID
	// documents no limit.
	maxRedirectURL = 4 << 10
)

// defaultTimeout is how long a person may take to begin to sign, unless the
// order says otherwise.
const defaultTimeout = 1800 * time.Second

// An orderRequest is what matters of a new order.
type orderRequest struct {
	name        string // "" in timestamping
	displayMode string // "" is the default
	redirectURL string // where the signer goes in the end; "" is nowhere
	documents   []document
	timeout     time.Duration
	convert     bool // to PDF/A, before signing
	seals       bool // show the signature on a page
	extendToLTA bool
	content     resultContent
	nnin        bool // the caller may have the signer's national identity number
}

// Members of an order, of the same page. Those that are nil were left out.
type (
	signProperties struct {
		OrderName      string `json:"orderName"`
		DisplayMode    string `json:"documentDisplayMode"` // of v0
		TimeoutSeconds int    `json:"timeoutSeconds"`
		RedirectURL    string `json:"redirectUrl"`
	}
	padesSignProperties struct {
		AddVisualSeals *bool `json:"addVisualSeals"`
		ExtendToLTA    bool  `json:"extendToLTA"`
		UseConversion  bool  `json:"useConversion"`
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

// readDocuments reads a body that carries documents.
func readDocuments(w http.ResponseWriter, r *http.Request, decode func(jsonReader) error) *orderError {
	if !hasMediaType(r, "application/json") {
		return badOrder("the body is not application/json") // no 415, in any document
	}
	tooLarge := &orderError{http.StatusRequestEntityTooLarge, "the body is too large"}
	if r.ContentLength > maxOrder {
		return tooLarge
	}
	err := decode(newJSONReader(http.MaxBytesReader(w, r.Body, maxOrder)))
	known, ok := errors.AsType[*orderError](err)
	switch {
	case err == nil:
		return nil
	case ok:
		return known
	case isTooLarge(err):
		return tooLarge
	default:
		return badOrder("%s", jsonFault(err, "the body is not the JSON that is documented"))
	}
}

// decodeOrder reads an order document by document, so that neither a large body
// is in memory twice, nor a long list of nothing costs anything. Of the other
// members that BankID documents only the type is checked, unless they have an
// effect; unknown ones are ignored. If strict, the order must have the members that a
// sign order must have, and otherwise the documents alone.
func decodeOrder(body jsonReader, strict bool, content func(json.RawMessage) (resultContent, error)) (orderRequest, error) {
	var order orderRequest
	var sign *signProperties
	var pades *padesSignProperties
	var wanted json.RawMessage
	err := decodeObject(body, func(member string) (err error) {
		switch member {
		case "documents":
			order.documents, err = decodeList(body, maxDocuments, document.check)
		case "signProperties":
			err = body.member(member, &sign)
		case "padesSignProperties":
			err = body.member(member, &pades)
		case "resultContent":
			err = body.member(member, &wanted)
		default:
			err = body.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return orderRequest{}, err
	case len(order.documents) == 0:
		return orderRequest{}, badOrder("documents is empty")
	case strict && sign == nil:
		return orderRequest{}, badOrder("signProperties is missing")
	case strict && sign.OrderName == "":
		return orderRequest{}, badOrder("signProperties: orderName is missing")
	case strict && pades == nil:
		return orderRequest{}, badOrder("padesSignProperties is missing")
	case strict && pades.AddVisualSeals == nil:
		return orderRequest{}, badOrder("padesSignProperties: addVisualSeals is missing")
	}
	if order.content, err = content(wanted); err != nil {
		return orderRequest{}, err
	}
	if pades != nil {
		order.convert, order.extendToLTA = pades.UseConversion, pades.ExtendToLTA
		order.seals = pades.AddVisualSeals != nil && *pades.AddVisualSeals
	}
	return order, order.apply(sign)
}

// apply takes over the properties that all kinds of signing have in common.
func (o *orderRequest) apply(sign *signProperties) error {
	o.timeout = defaultTimeout
	if sign == nil {
		return nil
	}
	if len(sign.OrderName) > maxOrderName {
		return badOrder("signProperties: orderName is longer than %d bytes", maxOrderName)
	}
	if len(sign.RedirectURL) > maxRedirectURL {
		return badOrder("signProperties: redirectUrl is longer than %d bytes", maxRedirectURL)
	}
	o.name, o.displayMode, o.redirectURL = sign.OrderName, sign.DisplayMode, sign.RedirectURL
	switch seconds := min(sign.TimeoutSeconds, math.MaxInt32); { // or the product could overflow
	case seconds < 0:
		return badOrder("timeoutSeconds is negative")
	case seconds > 0:
		o.timeout = time.Duration(seconds) * time.Second
	}
	for i := range o.documents {
		if d := &o.documents[i]; d.Description == "" && o.name != "" {
			d.Description = fmt.Sprintf("%s - %d", o.name, i+1)
		}
	}
	return nil
}

func (d document) check() *orderError {
	if len(d.PDF) == 0 {
		return badOrder("pdf is missing")
	}
	return nil
}
