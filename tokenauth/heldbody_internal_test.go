package tokenauth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// prepared returns the delivery of a request whose body is held.
func prepared(t *testing.T, ctx context.Context, body string, budget *Budget) *Delivery {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	d := new(Delivery)
	if err := d.prepare(req, 1<<20, budget); err != nil {
		t.Fatal(err)
	}
	if d.held == nil {
		t.Fatal("it is not held")
	}
	return d
}

// large is a body of several chunks, of which the last is not full.
var large = strings.Repeat("0123456789", chunkSize/3)

func TestHeldBodyIsReadFromItsBeginningEachTime(t *testing.T) {
	for _, body := range []string{"x", large, strings.Repeat("x", chunkSize), strings.Repeat("x", 2*chunkSize)} {
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

// An answer may come before all of the body has been sent.
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

// A sender that goes on after its body was let go of must see nothing of those
// that take its place.
func TestSenderSeesNoOtherBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(d *Delivery, r io.Closer, cancel func()){
			"answered and closed": func(d *Delivery, r io.Closer, _ func()) { d.done(); r.Close() },
			"closed and answered": func(d *Delivery, r io.Closer, _ func()) { r.Close(); d.done() },
			"failed":              func(d *Delivery, _ io.Closer, _ func()) { d.fail() },
			"left by its caller":  func(_ *Delivery, _ io.Closer, cancel func()) { cancel() },
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

func TestBodyOfUnknownLengthThatIsTooLongIsSentWhole(t *testing.T) {
	budget := NewBudget(1 << 20)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", io.MultiReader(strings.NewReader(large)))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1
	d := new(Delivery)
	if err := d.prepare(req, chunkSize, budget); err != nil || d.repeatable() {
		t.Fatalf("it can be repeated: %t; %v", d.repeatable(), err)
	}
	body, err := io.ReadAll(d.rest)
	if err != nil || !bytes.Equal(body, []byte(large)) {
		t.Errorf("%d of %d bytes are sent: %v", len(body), len(large), err)
	}
	if used := budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

// A body that broke off is not there for a proxy that tries again: what is left
// of it must not be sent as if it were the whole.
func TestBodyThatBrokeOffIsNotReadAgain(t *testing.T) {
	for _, length := range []int64{-1, int64(len("halfrest"))} {
		broken := errors.New("broken")
		body := io.MultiReader(strings.NewReader("half"), &failOnce{err: broken}, strings.NewReader("rest"))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		d := new(Delivery)
		for range 2 {
			if err := d.prepare(req, 1<<20, NewBudget(1<<20)); !errors.Is(err, broken) {
				t.Errorf("length %d: the error is %v", length, err)
			}
		}
	}
}

// failOnce is a reader that fails, and then has nothing.
type failOnce struct{ err error }

// Read implements io.Reader.
func (f *failOnce) Read([]byte) (int, error) {
	err := f.err
	f.err = io.EOF
	return 0, err
}

// net/http reads one byte to find out whether there are any.
func TestEmptyBodyOfUnknownLengthIsAtItsEnd(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example/", io.MultiReader())
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1
	d := new(Delivery)
	if err := d.prepare(req, 10, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := d.held.reader().Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("it reads %d, %v", n, err)
	}
}
