package caddyesign

import (
	"io"
	"net/http"
	"regexp"

	"go.uber.org/zap"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// maxErrorBody is the size, in bytes, of the longest error body that is parsed.
const maxErrorBody = 4 << 10

// plainWord matches the texts of an error that may be logged, unless they show the
// token. Any other text could be anything.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

// logReference makes res log BankID's reference of an error when its body has been
// read. BankID's support asks for that reference. client is the client that made the
// call x.
func logReference(logger *zap.Logger, client string, res *http.Response, x *exchange) {
	if res.StatusCode < http.StatusBadRequest || res.Body == nil {
		return
	}
	call := x.Call
	codings := http.Header{"Content-Encoding": res.Header["Content-Encoding"]} // of the body, even if the header changes later
	res.Body = &errorBody{ReadCloser: res.Body, done: func(body []byte) {
		code, reference := tokenauth.ParseErrorBody(codings, body)
		if !plainWord.MatchString(reference) || x.Shows(reference) {
			return
		}
		if !plainWord.MatchString(code) || x.Shows(code) {
			code = ""
		}
		logger.Info("error with a reference for BankID's support",
			zap.String("client", clientLabel(client)),
			zap.String("api", call.Group),
			zap.String("method", call.Method),
			zap.String("path", call.Path),
			zap.Int("status", res.StatusCode),
			zap.String("code", code),
			zap.String("error_reference", reference),
		)
	}}
}

// errorBody is the body of an error on its way to the caller. The caller gets it
// unchanged and without delay.
type errorBody struct {
	io.ReadCloser
	head []byte
	done func(body []byte) // nil after it was called
}

// Read implements io.Reader.
func (b *errorBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.done != nil {
		b.head = append(b.head, p[:n]...)
		if err != nil || len(b.head) > maxErrorBody {
			b.finish()
		}
	}
	return n, err
}

// Close implements io.Closer.
func (b *errorBody) Close() error {
	b.finish()
	return b.ReadCloser.Close()
}

// finish passes what was read to done, once, unless it is too long for an error.
func (b *errorBody) finish() {
	if b.done != nil && len(b.head) <= maxErrorBody {
		b.done(b.head)
	}
	b.done, b.head = nil, nil
}

// Interface guards
var _ io.ReadCloser = (*errorBody)(nil)
