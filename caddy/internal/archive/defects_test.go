package archive_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/archive"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

var errGone = errors.New("gone")

// These are defects of storages. They cost bounded time only.
var defects = map[string]func(ctx context.Context, operation, key string) error{
	"hangs":               func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() },
	"ignores its context": func(context.Context, string, string) error { time.Sleep(time.Hour); return nil },
	"is gone":             func(context.Context, string, string) error { return errGone },
	"says that nothing exists": func(_ context.Context, operation, _ string) error {
		if operation == "load" {
			return fs.ErrNotExist
		}
		return errGone
	},
	"panics": func(context.Context, string, string) error { panic("oops") },
}

func TestDefectsCostBoundedTime(t *testing.T) {
	for name, defect := range defects {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(memory)
				s.do(defect)
				g := newGateway(t, s, "secret")
				for range 100 { // more than the number of operations that can hang
					_, waited, err := g.find(key)
					if err == nil || errors.Is(err, fs.ErrNotExist) != (name == "says that nothing exists") || waited > time.Second {
						t.Errorf("after %v, the error is %v", waited, err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				if _, err := g.archive.For().Begin(ctx, key); err == nil || time.Since(start) > time.Second {
					t.Errorf("after %v, the error is %v", time.Since(start), err)
				}
				g.kill()
				time.Sleep(2 * time.Hour) // for those that ignore their contexts
			})
		})
	}
}

// The storage gets the defect while a download is under way.
func TestDefectDuringADownload(t *testing.T) {
	for name, defect := range defects {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(memory)
				a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
				e := a.begin(key)
				a.put(e, document(download.PieceSize))
				waiting := make(chan error)
				go func() {
					_, _, err := b.find(key)
					waiting <- err
				}()
				time.Sleep(time.Second)
				s.do(defect)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				for _, operation := range []func() error{
					func() error { return e.Put(ctx, 1, document(10)) },
					func() error { return e.Commit(ctx, download.Meta{Length: download.PieceSize + 10}) },
					func() error { _, err := e.Piece(ctx, 0); return err },
				} {
					if err := operation(); err == nil || time.Since(start) > time.Second {
						t.Errorf("after %v, the error is %v", time.Since(start), err)
					}
				}
				e.Abandon()
				if err := <-waiting; err == nil || time.Since(start) > time.Minute {
					t.Errorf("after %v, it found %v", time.Since(start), err)
				}
				if len(b.losses) > 0 {
					t.Error("it took the download for lost, though it cannot know")
				}
				a.kill()
				b.kill()
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// Some storages return another error if there is no such key.
func TestOtherErrorForAMissingKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, otherError{s}, "secret")
		g.hasNot(key)
		g.keep(key, document(10))
		g.has(key, document(10))
		time.Sleep(keep + 5*time.Minute)
		g.hasNot(key)
		// They say the same when they are away.
		s.do(func(context.Context, string, string) error { return errGone })
		if _, _, err := g.find(key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the error is %v", err)
		}
	})
}

// otherError is a storage that returns another error if there is no such key.
type otherError struct{ *memory }

func (s otherError) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.memory.Load(ctx, key)
	if err != nil {
		err = errors.New("redis: nil")
	}
	return value, err
}

func TestProbe(t *testing.T) {
	for name, test := range map[string]struct {
		storage func(*memory) archive.Storage
		want    string
	}{
		"works":     {func(m *memory) archive.Storage { return m }, ""},
		"small":     {func(m *memory) archive.Storage { return small{m} }, "too large"},
		"forgets":   {func(m *memory) archive.Storage { return forgetful{m} }, "does not have what was stored"},
		"truncates": {func(m *memory) archive.Storage { return truncating{m} }, "another value"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(memory)
				err := newGateway(t, test.storage(s), "secret").archive.Probe(t.Context())
				if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("the error is %v", err)
				}
				if keys := s.keys(all); len(keys) > 0 {
					t.Errorf("it leaves %q", keys)
				}
			})
		})
	}
}

type small struct{ *memory }

func (s small) Store(ctx context.Context, key string, value []byte) error {
	if len(value) > 1<<20 {
		return errors.New("the value is too large")
	}
	return s.memory.Store(ctx, key, value)
}

type forgetful struct{ *memory }

func (forgetful) Store(context.Context, string, []byte) error { return nil }

type truncating struct{ *memory }

func (s truncating) Store(ctx context.Context, key string, value []byte) error {
	return s.memory.Store(ctx, key, value[:min(len(value), 1<<20)])
}
