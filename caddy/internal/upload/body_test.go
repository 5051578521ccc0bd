package upload_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/upload"
)

// closedBody returns an error from Close, so a test sees that it was closed.
type closedBody struct{ io.Reader }

var errClosedBody = errors.New("closed")

// Close implements io.Closer.
func (closedBody) Close() error { return errClosedBody }

// newRequest returns a request with a body of unknown length.
func newRequest(t *testing.T, content io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", closedBody{content})
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	return r
}

// If other handlers close the body of a request, it is closed, which net/http notices.
// A body that is to be drained stays open.
func TestOnlyABodyToDrainStaysOpen(t *testing.T) {
	for _, kept := range []bool{false, true} {
		r := newRequest(t, strings.NewReader("x"))
		body := upload.Wrap(r)
		if kept {
			body.KeepOpen()
		}
		if err := r.Body.Close(); (err == nil) != kept {
			t.Errorf("kept open is %v, and closing it gives %v", kept, err)
		}
		if _, err := r.Body.Read(make([]byte, 1)); kept && (err == nil || err == io.EOF) {
			t.Errorf("after it was closed, a read gives %v", err)
		}
	}
}

// What another handler has read of a body that broke off does not look like all of it.
func TestContentInPlaceOfABrokenBody(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		body io.Reader
		read int64 // by the other handler
		want error
	}{
		"whole":       {strings.NewReader("text"), 100, nil},
		"broken":      {io.MultiReader(strings.NewReader("text"), iotest.ErrReader(broken)), 100, broken},
		"cut":         {strings.NewReader("text and more"), 4, io.ErrUnexpectedEOF},
		"not read":    {strings.NewReader("other"), 0, nil},
		"empty":       {iotest.ErrReader(io.EOF), 100, nil},
		"broken soon": {iotest.ErrReader(broken), 100, broken},
	} {
		r := newRequest(t, test.body)
		body := upload.Wrap(r)
		if test.read > 0 {
			_, _ = io.ReadAll(io.LimitReader(r.Body, test.read))
		}
		got, err := io.ReadAll(body.Outgoing(strings.NewReader("text")))
		if !errors.Is(err, test.want) || string(got) != "text" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A request without a body has none to drain.
func TestNoBodyIsNotWrapped(t *testing.T) {
	for _, body := range []io.Reader{nil, http.NoBody, strings.NewReader("")} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
		if upload.Wrap(r) != nil {
			t.Errorf("%T is wrapped", body)
		}
	}
}

// What follows a broken body is not taken for a request, even if Go's server would take
// it for one: the connection ends with the response.
func TestNothingAfterABrokenBodyIsARequest(t *testing.T) {
	for name, settle := range map[string]func(*upload.Body, http.ResponseWriter, *http.Request){
		"refused": func(b *upload.Body, w http.ResponseWriter, _ *http.Request) { b.Refuse(w, 500, new(upload.Drainer)) },
		"handed over": func(b *upload.Body, w http.ResponseWriter, r *http.Request) {
			b.HandOver(w, r, new(upload.Drainer), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest(t, io.MultiReader(strings.NewReader("some"), iotest.ErrReader(errors.New("malformed chunk"))))
			body := upload.Wrap(r)
			_, _ = io.ReadAll(r.Body)
			w := httptest.NewRecorder()
			settle(body, w, r)
			if got := w.Header().Get("Connection"); got != "close" {
				t.Errorf("Connection is %q", got)
			}
		})
	}
}
