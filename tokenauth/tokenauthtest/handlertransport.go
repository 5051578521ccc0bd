package tokenauthtest

import (
	"io"
	"net/http"
	"net/http/httptest"
)

// HandlerTransport is an http.RoundTripper that calls a handler without a network. It
// returns when the context of the request is done, even if the handler has not returned.
//
// If the handler panics with http.ErrAbortHandler, the response breaks off with
// io.ErrUnexpectedEOF. That is the error of RoundTrip if the handler has not written a body
// and has not flushed. Otherwise it is the error at the end of the body. Any other panic
// ends the process, since the caller of RoundTrip might hide it.
type HandlerTransport struct{ Handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t HandlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.RemoteAddr, in.RequestURI = "127.0.0.1:1", r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	in.URL.Scheme, in.URL.Host = "", ""
	recorder := httptest.NewRecorder()
	whole, done := false, make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
				panic(cause)
			}
		}()
		t.Handler.ServeHTTP(recorder, in)
		whole = true
	}()
	select {
	case <-done:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	res := recorder.Result()
	res.Request = r
	if whole {
		return res, nil
	}
	if err := r.Context().Err(); err != nil {
		return nil, err // the handler has panicked because of the context
	}
	if !recorder.Flushed && recorder.Body.Len() == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	res.Body = brokenBody{res.Body}
	return res, nil
}

// brokenBody is a body that breaks off.
type brokenBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
