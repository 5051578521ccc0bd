package download

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"time"
)

// A shelf is an Archive in memory. Several stores can use it, like processes that share a
// storage.
type shelf struct {
	mu      sync.Mutex
	begun   map[Key]int
	entries map[Key]*shelved
	changed chan struct{}

	put, abandoned int
	fail           func(operation string) error // nil if nothing fails; may wait
}

func newShelf() *shelf {
	return &shelf{begun: make(map[Key]int), entries: make(map[Key]*shelved), changed: make(chan struct{})}
}

// shelved is an Entry and a NewEntry.
type shelved struct {
	shelf  *shelf
	key    Key
	meta   Meta
	pieces [][]byte
}

// do runs an operation.
func (s *shelf) do(operation string, f func()) error {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(operation); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	return nil
}

// change runs an operation that those who wait for an entry must see.
func (s *shelf) change(operation string, f func()) error {
	return s.do(operation, func() {
		f()
		s.signal()
	})
}

// signal wakes those who wait for an entry. It is called with the lock held.
func (s *shelf) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// failWith makes operations fail.
func (s *shelf) failWith(fail func(operation string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *shelf) Begin(_ context.Context, key Key) (NewEntry, error) {
	return &shelved{shelf: s, key: key}, s.change("begin", func() { s.begun[key]++ })
}

// of returns an Archive for one process, whose own marks do not count.
func (s *shelf) of() Archive { return &process{shelf: s, own: make(map[Key]int)} }

type process struct {
	*shelf

	own map[Key]int
}

func (p *process) Begin(ctx context.Context, key Key) (NewEntry, error) {
	e, err := p.shelf.Begin(ctx, key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own[key]++
	return e, err
}

func (p *process) Find(ctx context.Context, key Key, limit time.Duration) (Entry, error) {
	for {
		var e *shelved
		var others bool
		var changed chan struct{}
		// As the archive does, it gives up an operation that takes too long.
		look := make(chan error, 1)
		go func() {
			look <- p.do("find", func() {
				e, others = p.entries[key], p.begun[key] > p.own[key]
				// What changes after this look is not to be missed.
				changed = p.changed
			})
		}()
		select {
		case err := <-look:
			if err != nil {
				return nil, err
			}
		case <-time.After(limit):
			return nil, errors.New("the storage does not respond")
		}
		switch {
		case e != nil:
			return e, nil
		case !others:
			return nil, fs.ErrNotExist
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (e *shelved) Meta() Meta { return e.meta }

func (e *shelved) Piece(_ context.Context, n int) (piece []byte, err error) {
	err = e.shelf.do("piece", func() { piece = bytes.Clone(e.pieces[n]) })
	return piece, err
}

func (e *shelved) Put(_ context.Context, n int, piece []byte) error {
	if n != len(e.pieces) || len(piece) == 0 || len(piece) > PieceSize {
		return errors.New("a piece of a wrong number or size")
	}
	return e.shelf.change("put", func() {
		e.pieces = append(e.pieces, bytes.Clone(piece))
		e.shelf.put++
	})
}

func (e *shelved) Commit(_ context.Context, meta Meta) error {
	return e.shelf.change("commit", func() {
		e.meta = meta
		e.shelf.entries[e.key] = e
		e.shelf.begun[e.key]--
	})
}

func (e *shelved) Abandon() {
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	e.shelf.abandoned++
	e.shelf.begun[e.key]--
	e.shelf.signal()
}

// content returns what the shelf has at key.
func (s *shelf) content(key byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[Key{key}]; e != nil {
		return bytes.Join(e.pieces, nil)
	}
	return nil
}

// archived is newFetch with an archive.
func archived(t *testing.T, s *Store, key byte, o Observer, a Archive) *fetch {
	t.Helper()
	return newFetchWith(t, s, key, Options{Archive: a, Observer: o})
}

// claimIn claims the download at key, and asserts whether it is the first claim.
func claimIn(t *testing.T, s *Store, key byte, o Observer, a Archive, want bool) *Download {
	t.Helper()
	d, first, err := s.Claim(t.Context(), Key{key}, Options{Archive: a, Observer: o})
	if err != nil || first != want {
		t.Fatalf("claiming %d: first is %t, %v", key, first, err)
	}
	return d
}
