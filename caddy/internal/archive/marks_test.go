package archive_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// A call is a download by a gateway: it looks in the archive, and then writes its mark.
type call struct {
	archive download.Archive
	entry   download.NewEntry
}

// call begins a download that is not in the archive.
func (g *gateway) call(key download.Key) call {
	g.t.Helper()
	a := g.archive.For("signdoc", "order")
	if _, err := a.Find(g.t.Context(), key, time.Second); !errors.Is(err, fs.ErrNotExist) {
		g.t.Errorf("before the call, the error is %v", err)
	}
	e, err := a.Begin(g.t.Context(), key)
	if err != nil {
		g.t.Fatal(err)
	}
	return call{a, e}
}

// refused says that the API does not have the document, and returns how long it takes until
// the caller can be told.
func (c call) refused(t *testing.T, key download.Key) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := c.archive.Find(t.Context(), key, time.Second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the 404, the error is %v", err)
	}
	c.entry.Abandon()
	return time.Since(start)
}

// A 404 is not held up for longer than another process needs to write its mark again.
func TestOwnMarkIsNotWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		latency   time.Duration // of the storage
		api, most time.Duration
	}{
		"at once":       {0, 0, 150 * time.Millisecond},
		"soon":          {0, 100 * time.Millisecond, 50 * time.Millisecond},
		"later":         {0, 150 * time.Millisecond, 0},
		"slow storage":  {20 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond},
		"much later":    {20 * time.Millisecond, 5 * time.Second, 60 * time.Millisecond},
		"slow, at once": {200 * time.Millisecond, 0, 1950 * time.Millisecond},
		"still slower":  {270 * time.Millisecond, 0, 2700 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(memory)
				s.do(func(context.Context, string, string) error { time.Sleep(test.latency); return nil })
				g := newGateway(t, s, "secret")
				for range 3 { // an application asks again and again
					c := g.call(key)
					time.Sleep(test.api)
					if waited := c.refused(t, key); waited > test.most {
						t.Errorf("the caller waits %v longer", waited)
					}
				}
				g.kill()
				time.Sleep(time.Minute) // for operations under way
			})
		})
	}
}

// Two processes begin at the same moment. The one that gets the document has written its
// mark first, and the other one has replaced it.
func TestProcessesThatBeginAtTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
		other := b.archive.For("signdoc", "order")
		if _, err := other.Find(t.Context(), key, time.Second); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		e := a.call(key).entry
		refused, err := other.Begin(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		content := document(2 * download.PieceSize)
		time.AfterFunc(20*time.Second, func() {
			a.put(e, content)
			a.commit(e, content)
		})
		b.has(key, content) // as before a 404 is passed on
		refused.Abandon()
		a.has(key, content)
	})
}

// Two processes begin at the same moment, and each replaces the mark of the other or not. The
// one that does not get the document from the API waits for that of the other.
func TestProcessesThatBeginAtAnyMoment(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			s, most := new(memory), []time.Duration{time.Millisecond, 20 * time.Millisecond}[seed%2]
			var mu sync.Mutex // for random
			upTo := func(most time.Duration) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(random.Int64N(int64(most)))
			}
			s.do(func(context.Context, string, string) error { time.Sleep(upTo(most)); return nil })
			content := document(1000)
			api := make(chan struct{}, 1) // has the document
			api <- struct{}{}
			ended := make(chan bool)
			a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
			for n, g := range []*gateway{a, b} {
				begins, comes := 2*upTo(most), upTo(10*time.Second)
				responds := []time.Duration{0, 30 * time.Millisecond, 3 * time.Second}[upTo(3)]
				go func() {
					time.Sleep(time.Duration(n) * begins)
					own := g.archive.For("signdoc", "order")
					e, err := own.Find(t.Context(), key, time.Second)
					if err == nil { // the other one was faster
						ended <- e.Meta().Length == 1000
						return
					}
					w, err := own.Begin(t.Context(), key)
					if err != nil {
						t.Error(err)
					}
					select {
					case <-api:
						time.Sleep(comes)
						g.put(w, content)
						g.commit(w, content)
						ended <- true
					default:
						time.Sleep(responds)
						_, err := own.Find(t.Context(), key, time.Second)
						w.Abandon()
						ended <- err == nil
					}
				}()
			}
			if first, second := <-ended, <-ended; !first || !second {
				t.Errorf("seed %d: a caller gets a 404", seed)
			}
			a.kill()
			b.kill()
			time.Sleep(time.Minute)
		})
	}
}

// Two processes with the same secrets in another order write different marks. If neither
// gets the document, they do not wait for each other, and nothing is lost.
func TestProcessesThatSealWithDifferentSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		a, b := newGateway(t, s, "old", "new"), newGateway(t, s, "new", "old")
		first, ended := a.call(key), make(chan time.Duration)
		w, err := b.archive.For("signdoc", "order").Begin(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		second := call{b.archive.For("signdoc", "order"), w}
		for _, c := range []call{first, second} {
			go func() { ended <- c.refused(t, key) }()
		}
		for range 2 {
			if waited := <-ended; waited > 2*time.Second {
				t.Errorf("a caller waits %v longer", waited)
			}
		}
		time.Sleep(5 * time.Minute)
		if len(a.losses)+len(b.losses) > 0 {
			t.Error("it took the download for lost")
		}
	})
}

// A process whose mark is stored late, after its call has failed, does not wait for itself.
func TestOwnMarkThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, s, "secret")
		own := g.archive.For("signdoc", "order")
		if _, err := own.Find(t.Context(), key, time.Second); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		slow := func(_ context.Context, operation, _ string) error {
			if operation == "store" {
				time.Sleep(2 * time.Second)
			} else {
				time.Sleep(20 * time.Millisecond)
			}
			return nil
		}
		s.do(slow)
		entry := make(chan download.NewEntry)
		go func() {
			e, err := own.Begin(t.Context(), key)
			if err != nil {
				t.Error(err)
			}
			entry <- e
		}()
		synctest.Wait()
		time.Sleep(1990 * time.Millisecond) // the mark comes during the look
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := own.Find(ctx, key, time.Second); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the error is %v", err)
		}
		(<-entry).Abandon()
		g.kill()
		time.Sleep(time.Minute)
	})
}

// A process that could not look does not replace a mark: if the process of the mark is gone,
// the loss is still noticed.
func TestMarkOfAnotherProcessIsNotReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		a := newGateway(t, s, "secret")
		a.begin(key)
		a.kill()
		b := newGateway(t, s, "secret")
		s.do(func(context.Context, string, string) error { return errGone })
		own := b.archive.For("signdoc", "order")
		if _, err := own.Find(t.Context(), key, time.Second); !errors.Is(err, errGone) {
			t.Fatalf("the error is %v", err)
		}
		s.do(nil)
		if _, err := own.Begin(t.Context(), key); err == nil {
			t.Fatal("it replaces the mark")
		}
		<-b.losses
	})
}

// A look does not wait for pieces that other callers read.
func TestPiecesDoNotHoldUpLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(memory)
		g := newGateway(t, s, "secret")
		g.keep(key, document(1000))
		e, err := g.archive.For().Find(t.Context(), key, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		s.do(func(_ context.Context, operation, key string) error {
			if operation == "load" && strings.HasSuffix(key, "/0") {
				time.Sleep(5 * time.Second)
			}
			return nil
		})
		for range 100 {
			go func() { _, _ = e.Piece(t.Context(), 0) }()
		}
		synctest.Wait()
		start := time.Now()
		if _, err := g.archive.For().Find(t.Context(), key, time.Second); err != nil || time.Since(start) > 0 {
			t.Errorf("after %v, the error is %v", time.Since(start), err)
		}
		time.Sleep(time.Minute)
	})
}

// A process that was away for longer than its pieces stay does not say that the download is
// whole, also if it has written its mark again.
func TestProcessThatWasAwayDoesNotCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, away := new(memory), new(memory)
		away.do(func(context.Context, string, string) error { return errGone })
		a, b := newGateway(t, s, "secret"), newGateway(t, s, "secret")
		e := a.begin(key)
		a.put(e, document(1000))
		a.attach(away, "secret")
		time.Sleep(5 * time.Minute) // the other process deletes the pieces
		<-b.losses
		a.attach(s, "secret")
		time.Sleep(5 * time.Second)
		if err := e.Commit(t.Context(), download.Meta{Length: 1000}); err == nil {
			t.Error("it says that the download is whole")
		}
		e.Abandon()
		b.hasNot(key)
	})
}
