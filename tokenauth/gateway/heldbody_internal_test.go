package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// prepared returns the delivery of a request with a held body.
func prepared(t *testing.T, ctx context.Context, body string, budget *Budget) *Exchange {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	d := new(Exchange)
	if err := d.prepare(req, 1<<20, budget); err != nil {
		t.Fatal(err)
	}
	if d.held == nil {
		t.Fatal("it is not held")
	}
	return d
}

// large is a body of several chunks. The last one is not full.
var large = strings.Repeat("0123456789", unknownChunk/3)

func TestHeldBodyIsReadFromItsBeginningEachTime(t *testing.T) {
	for _, body := range []string{"x", large, strings.Repeat("x", minChunk), strings.Repeat("x", 2*minChunk)} {
		d := prepared(t, t.Context(), body, NewBudget(1<<20))
		first := d.held.reader()
		if _, err := io.CopyN(io.Discard, first, 1); err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(d.held.reader(), []byte(body)); err != nil {
			t.Errorf("a body of %d bytes: %v", len(body), err)
		}
		if n, err := first.Read(make([]byte, 1)); len(body) > 1 && (n != 0 || !errors.Is(err, errReleased)) {
			t.Errorf("the first reader goes on: %d, %v", n, err)
		}
	}
}

// A response may come before the whole body has been sent.
func TestHeldBodyIsThereUntilItsSendingEnds(t *testing.T) {
	budget := NewBudget(1 << 20)
	d := prepared(t, t.Context(), large, budget)
	r := d.held.reader()
	begin := make([]byte, 10)
	if _, err := io.ReadFull(r, begin); err != nil {
		t.Fatal(err)
	}
	d.done()
	other := prepared(t, t.Context(), strings.ToUpper(strings.Repeat("other", len(large)/5)), budget)
	rest, err := io.ReadAll(r)
	if err != nil || string(begin)+string(rest) != large {
		t.Errorf("what is sent is another body: %v", err)
	}
	other.done()
	if used := budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

// A sender that goes on after its body was released must not see other bodies, which use
// the same memory.
func TestSenderSeesNoOtherBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(d *Exchange, r io.Closer, cancel func()){
			"answered and closed": func(d *Exchange, r io.Closer, _ func()) { d.done(); r.Close() },
			"closed and answered": func(d *Exchange, r io.Closer, _ func()) { r.Close(); d.done() },
			"failed":              func(d *Exchange, _ io.Closer, _ func()) { d.fail() },
			"left by its caller":  func(_ *Exchange, _ io.Closer, cancel func()) { cancel() },
		} {
			budget := NewBudget(1 << 20)
			ctx, cancel := context.WithCancel(t.Context())
			d := prepared(t, ctx, large, budget)
			r := d.held.reader()
			if _, err := io.CopyN(io.Discard, r, 10); err != nil {
				t.Fatal(err)
			}
			end(d, r, cancel)
			synctest.Wait()
			if used := budget.used.Load(); used != 0 {
				t.Errorf("%s: %d bytes are still taken", name, used)
			}
			other := prepared(t, t.Context(), strings.Repeat("X", len(large)), budget)
			if rest, err := io.ReadAll(r); !errors.Is(err, errReleased) || len(rest) != 0 {
				t.Errorf("%s: the sender has read %d bytes more, and %v", name, len(rest), err)
			}
			other.done()
			cancel()
		}
	})
}

// post returns a request with a body and the given ContentLength. As in net/http, -1 and 0
// mean that the length is not known.
func post(t *testing.T, body io.Reader, length int64) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", io.NopCloser(body))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	return req
}

func TestBodyOfUnknownLengthThatIsTooLongIsSentWhole(t *testing.T) {
	for name, test := range map[string]struct{ limit, budget int64 }{
		"longer than the limit":  {unknownChunk, 1 << 20},
		"longer than the budget": {1 << 20, 2 * unknownChunk},
	} {
		budget := NewBudget(test.budget)
		d := new(Exchange)
		if err := d.prepare(post(t, strings.NewReader(large), -1), test.limit, budget); err != nil || d.retryable() {
			t.Fatalf("%s: it can be retried: %t; %v", name, d.retryable(), err)
		}
		if used := budget.used.Load(); used < unknownChunk {
			t.Errorf("%s: %d bytes are taken while its beginning is in memory", name, used)
		}
		body, err := io.ReadAll(d.rest)
		if err != nil || string(body) != large {
			t.Errorf("%s: %d of %d bytes are sent: %v", name, len(body), len(large), err)
		}
		if used := budget.used.Load(); used != 0 {
			t.Errorf("%s: %d bytes are still taken", name, used)
		}
	}
}

func TestBodyOfUnknownLengthTakesWhatItIsLong(t *testing.T) {
	for _, length := range []int64{-1, 0} {
		for _, body := range []string{"x", large, strings.Repeat("x", unknownChunk), strings.Repeat("x", unknownChunk+1)} {
			budget := NewBudget(1 << 20)
			d := new(Exchange)
			if err := d.prepare(post(t, iotest.HalfReader(strings.NewReader(body)), length), 1<<20, budget); err != nil || d.held == nil {
				t.Fatalf("it is not held: %v", err)
			}
			if used := budget.used.Load(); used != int64(len(body)) {
				t.Errorf("%d bytes take %d of the budget", len(body), used)
			}
			if err := iotest.TestReader(d.held.reader(), []byte(body)); err != nil {
				t.Errorf("a body of %d bytes: %v", len(body), err)
			}
			d.fail()
			if used := budget.used.Load(); used != 0 {
				t.Errorf("%d bytes are still taken", used)
			}
		}
	}
}

func TestBodyMustHaveTheLengthThatItSays(t *testing.T) {
	for body, want := range map[string]error{"four": io.ErrUnexpectedEOF, "sixsix": errLonger} {
		budget := NewBudget(10)
		if err := new(Exchange).prepare(post(t, strings.NewReader(body), 5), 10, budget); !errors.Is(err, want) {
			t.Errorf("%q: the error is %v, want %v", body, err, want)
		}
		if used := budget.used.Load(); used != 0 {
			t.Errorf("%q: %d bytes are still taken", body, used)
		}
	}
}

// A proxy may give each of its tries its own context. When the first context has ended and
// the body is released, the body must not look empty.
func TestBodyThatWasLetGoOfIsNotEmpty(t *testing.T) {
	d := prepared(t, t.Context(), "a contract", nil)
	d.held.abandon()
	if n, err := d.held.reader().Read(make([]byte, 1)); n != 0 || !errors.Is(err, errReleased) {
		t.Errorf("it reads %d, %v", n, err)
	}
}

// When a body has broken off and a proxy tries the call again, the rest of the body must not
// be sent as if it were the whole.
func TestBodyThatBrokeOffIsNotReadAgain(t *testing.T) {
	for _, length := range []int64{-1, int64(len("halfrest"))} {
		broken := errors.New("broken")
		body := io.MultiReader(strings.NewReader("half"), &failOnce{err: broken}, strings.NewReader("rest"))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		d := new(Exchange)
		for range 2 {
			if err := d.prepare(req, 1<<20, NewBudget(1<<20)); !errors.Is(err, broken) {
				t.Errorf("length %d: the error is %v", length, err)
			}
		}
	}
}

// failOnce is a reader that fails once, and is then at its end.
type failOnce struct{ err error }

// Read implements io.Reader.
func (f *failOnce) Read([]byte) (int, error) {
	err := f.err
	f.err = io.EOF
	return 0, err
}

// net/http reads one byte to find out whether a body of unknown length is empty.
func TestEmptyBodyOfUnknownLengthIsAtItsEnd(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", io.MultiReader())
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1
	d := new(Exchange)
	if err := d.prepare(req, 10, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := d.held.reader().Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("it reads %d, %v", n, err)
	}
}
