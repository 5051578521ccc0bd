package download

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// What was committed is handed over by another process, also if the first one is gone.
func TestArchiveOutlivesTheStore(t *testing.T) {
	for _, size := range []int{10, PieceSize, 3*PieceSize + 10} {
		for _, length := range []int{-1, size} {
			synctest.Test(t, func(t *testing.T) {
				s, a, seen := new(Store), newShelf(), new(events)
				f := archived(t, s, 1, seen, a.of())
				f.recorder.Header().Set("X-Order", "1")
				f.header(length)
				f.send(document(size))
				f.recorder.Header().Set(http.TrailerPrefix+"X-Digest", "abc")
				if !f.end(true) || !bytes.Equal(a.content(1), document(size)) {
					t.Fatalf("the archive has %d bytes of %d", len(a.content(1)), size)
				}
				s.Close() // this loses nothing
				seen.are(t)
				other := new(Store)
				w := newWriter()
				if serve(t.Context(), claimIn(t, other, 1, seen, a.of(), false), w) || !bytes.Equal(w.content(), document(size)) {
					t.Errorf("the other process hands over %d bytes of %d", len(w.content()), size)
				}
				if w.status != 200 || w.sent.Get("X-Order") != "1" || w.header.Get(http.TrailerPrefix+"X-Digest") != "abc" {
					t.Errorf("the header is %v", w.header)
				}
				seen.are(t, HandedOver)
				if other.used != 0 || len(other.downloads) != 0 {
					t.Error("the other process keeps it")
				}
			})
		}
	}
}

// The last byte goes out only when the manifest is stored.
func TestLastByteWaitsForTheManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := new(Store), newShelf()
		stored := make(chan struct{})
		a.fail = func(operation string) error {
			if operation == "commit" {
				<-stored
			}
			return nil
		}
		f := archived(t, s, 1, &events{}, a.of())
		f.header(10)
		f.send(document(10))
		ended := make(chan bool)
		go func() { ended <- f.end(true) }()
		synctest.Wait()
		if n := len(f.w.content()); n != 9 {
			t.Errorf("before, the client has got %d bytes", n)
		}
		close(stored)
		if !<-ended || len(f.w.content()) != 10 {
			t.Error("the client did not get the last byte")
		}
		s.Close()
	})
}

// While another process downloads the same, a claim waits for it.
func TestClaimWaitsForAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, other, a := new(Store), new(Store), newShelf()
		defer s.Close()
		f := archived(t, s, 1, &events{}, a.of())
		f.header(10)
		f.send(document(9))
		synctest.Wait()
		w, ended := newWriter(), make(chan bool)
		go func() { ended <- serve(t.Context(), claimIn(t, other, 1, &events{}, a.of(), false), w) }()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, _, err := other.Claim(ctx, Key{1}, Options{Archive: a.of(), Observer: &events{}})
			left <- err
		}()
		time.Sleep(time.Hour)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("a client that leaves gets %v", err)
		}
		f.send(document(10)[9:])
		f.end(true)
		if <-ended || !bytes.Equal(w.content(), document(10)) {
			t.Errorf("the other process hands over %q", w.content())
		}
	})
}

// If the server does not have it any more, another process may have it meanwhile.
func TestArchiveIsAskedAgainBeforeA404(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other, a, seen := new(Store), newShelf(), new(events)
		late := archived(t, other, 1, seen, a.of())
		synctest.Wait()
		// Another process begins at the same time, and neither sees the mark of the other.
		e, _ := a.Begin(t.Context(), Key{1})
		_ = e.Put(t.Context(), 0, document(10))
		gave := make(chan bool)
		go func() {
			late.recorder.Header().Set("Content-Type", "text/plain")
			late.recorder.WriteHeader(http.StatusNotFound)
			_, _ = late.recorder.Write([]byte("not found"))
			gave <- late.recorder.End(true)
		}()
		synctest.Wait()
		if late.w.status != 0 {
			t.Error("the 404 is passed on although another process downloads it")
		}
		_ = e.Commit(t.Context(), Meta{Status: 200, Header: http.Header{"X-Order": {"1"}}, Length: 10})
		if !<-gave || late.w.status != 200 || !bytes.Equal(late.w.content(), document(10)) || late.w.sent.Get("X-Order") != "1" || late.w.sent.Get("Content-Type") != "" {
			t.Errorf("the client got %d, %v, %q", late.w.status, late.w.sent, late.w.content())
		}
		seen.are(t, HandedOver)
		synctest.Wait()
		if a.abandoned != 1 {
			t.Error("the mark stays")
		}
		// Otherwise the 404 is passed on.
		g := archived(t, other, 3, seen, a.of())
		g.recorder.WriteHeader(http.StatusNotFound)
		g.recorder.End(true)
		if synctest.Wait(); g.w.status != 404 || a.abandoned != 2 {
			t.Errorf("the client got %d", g.w.status)
		}
	})
}

// What is not whole, or not a document, is not stored.
func TestWhatIsNotKeptIsNotStored(t *testing.T) {
	for name, fetch := range map[string]func(f *fetch){
		"refused": func(f *fetch) { f.recorder.WriteHeader(400); f.end(true) },
		"broken":  func(f *fetch) { f.header(5 << 20); f.send(document(3 << 20)); f.end(false) },
		"short":   func(f *fetch) { f.header(5 << 20); f.send(document(3 << 20)); f.end(true) },
		"empty":   func(f *fetch) { f.header(0); f.end(true) },
		"large": func(f *fetch) {
			f.recorder.Header().Set("X-Large", strings.Repeat("x", maxHeader))
			f.header(1)
			f.end(true)
		},
		"large trailer": func(f *fetch) {
			f.header(-1)
			f.send(document(10))
			f.recorder.Header().Set(http.TrailerPrefix+"X-Large", strings.Repeat("x", maxHeader))
			f.end(true)
		},
		"nothing": func(f *fetch) { f.end(false) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := new(Store), newShelf()
				fetch(archived(t, s, 1, &events{}, a.of()))
				synctest.Wait()
				if a.abandoned != 1 || len(a.entries) != 0 || s.used != 0 {
					t.Errorf("%d entries were abandoned", a.abandoned)
				}
			})
		})
	}
}

// Downloads whose clients stall take up little memory if they are stored.
func TestStalledDownloadsAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 10 << 20
		content := document(size)
		s, a := new(Store), newShelf()
		defer s.Close()
		fetches, ended := make([]*fetch, 4), make(chan bool)
		for i := range fetches {
			f := archived(t, s, byte(i), &events{}, a.of())
			fetches[i] = f
			f.w.stall = make(chan struct{})
			f.header([]int{size, -1}[i%2])
		}
		for sent := 0; sent < size; sent += PieceSize {
			for _, f := range fetches {
				f.send(content[sent : sent+PieceSize])
				synctest.Wait() // the storage is fast enough
			}
			if s.used > storedLimit+4<<20 {
				t.Fatalf("%d bytes are in memory", s.used)
			}
		}
		for _, f := range fetches {
			go func() { ended <- f.end(true) }()
		}
		synctest.Wait()
		for i, f := range fetches {
			close(f.w.stall)
			if !<-ended || !bytes.Equal(f.w.content(), content) || !bytes.Equal(a.content(byte(i)), content) {
				t.Errorf("client %d got %d bytes", i, len(f.w.content()))
			}
		}
	})
}

// A client that stalls does not keep a piece in memory that the storage has.
func TestStalledClientsKeepNoPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, size = 14, 2 << 20
		content := document(size)
		s, a := new(Store), newShelf()
		defer s.Close()
		var fetches []*fetch
		for i := range byte(clients) {
			f := archived(t, s, i, &events{}, a.of())
			f.w.stall, f.w.stallAt = make(chan struct{}), 1<<20
			f.header(size)
			fetches = append(fetches, f)
		}
		for p := range slices.Chunk(content, 512<<10) {
			for _, f := range fetches {
				f.send(p)
			}
			synctest.Wait() // the clients and the storage are fast enough
		}
		ended := make(chan bool)
		for _, f := range fetches {
			go func() { ended <- f.end(true) }()
		}
		time.Sleep(stallTime)
		synctest.Wait()
		s.mu.Lock()
		s.evict(s.used - storedLimit)
		used := s.used
		s.mu.Unlock()
		if limit := storedLimit + clients*(loadedPart+small); used > limit {
			t.Errorf("%d bytes are in memory, want %d at most", used, limit)
		}
		for _, f := range fetches {
			close(f.w.stall)
		}
		for range fetches {
			if !<-ended {
				t.Error("a client did not get everything")
			}
		}
		for i, f := range fetches {
			if !bytes.Equal(f.w.content(), content) || !bytes.Equal(a.content(byte(i)), content) {
				t.Errorf("client %d got %d bytes", i, len(f.w.content()))
			}
		}
		if s.loaded != 0 {
			t.Errorf("%d bytes are loaded in the end", s.loaded)
		}
	})
}

// A storage that fails or hangs, from an operation on or with all of them, costs at most a
// second, and memory is used. Both is said once, and for every download without a mark.
func TestStorageThatFails(t *testing.T) {
	for _, operation := range []string{"find", "begin", "put", "commit", "all"} {
		for _, hangs := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s, a, seen := new(Store), newShelf(), new(events)
				defer s.Close()
				a.failWith(func(o string) error {
					if o != operation && operation != "all" {
						return nil
					}
					if hangs {
						time.Sleep(5 * time.Second)
					}
					return errors.New("broken")
				})
				first, others := []Event{Unstored, HandedOver}, []Event{HandedOver}
				switch operation {
				case "find":
					// What is stored is found in memory too.
					first = []Event{Unstored, Stored, HandedOver}
					others = first
				case "begin", "all":
					first, others = []Event{Unstored, Unmarked, HandedOver}, []Event{Unmarked, HandedOver}
				}
				for key := range byte(2) {
					start := time.Now()
					f := archived(t, s, key, seen, a.of())
					f.header(2 << 20)
					f.send(document(2 << 20))
					if !f.end(true) || time.Since(start) > storageWait {
						t.Errorf("%s: it took %v", operation, time.Since(start))
					}
					time.Sleep(time.Minute)
					w := newWriter()
					if serve(t.Context(), claimIn(t, s, key, seen, a.of(), false), w); !bytes.Equal(w.content(), document(2<<20)) {
						t.Errorf("%s: memory has %d bytes", operation, len(w.content()))
					}
				}
				want := slices.Concat(first, others)
				seen.are(t, want...)
				a.failWith(nil)
				f := archived(t, s, 5, seen, a.of())
				f.header(1)
				f.send(document(1))
				f.end(true)
				if operation != "find" {
					want = append(want, Stored)
				}
				seen.are(t, want...)
			})
		}
	}
}

// An archive from before is asked, but gets nothing, and nobody hears about its failures.
func TestFormerArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, seen := new(Store), newShelf(), new(events)
		defer s.Close()
		for key := range byte(2) {
			f := archived(t, new(Store), key, new(events), a.of())
			f.header(10)
			f.send(document(10))
			f.end(true)
		}
		options := Options{Former: a.of(), Observer: seen}
		d, first, err := s.Claim(t.Context(), Key{0}, options)
		if err != nil || first {
			t.Fatalf("it is not found: %v", err)
		}
		w := newWriter()
		if serve(t.Context(), d, w); !bytes.Equal(w.content(), document(10)) {
			t.Errorf("the client got %q", w.content())
		}
		seen.are(t, HandedOver)
		failing := true
		a.failWith(func(string) error {
			if failing {
				return errors.New("broken")
			}
			return nil
		})
		late := newFetchWith(t, s, 1, options)
		failing = false
		late.recorder.WriteHeader(http.StatusNotFound)
		if !late.recorder.End(true) || late.w.status != 200 || !bytes.Equal(late.w.content(), document(10)) {
			t.Errorf("before a 404, the client got %d, %q", late.w.status, late.w.content())
		}
		seen.are(t, HandedOver, HandedOver)
		f := newFetchWith(t, s, 2, options)
		f.header(10)
		f.send(document(10))
		if !f.end(true) || !isKept(s, 2) || a.content(2) != nil {
			t.Error("a new download is not kept in memory alone")
		}
		seen.are(t, HandedOver, HandedOver)
	})
}

// A storage that hangs holds up a 404 for a limited time.
func TestStorageThatHangsBeforeA404(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := new(Store), newShelf()
		a.failWith(func(string) error { time.Sleep(time.Minute); return errors.New("broken") })
		start := time.Now()
		f := archived(t, s, 1, &events{}, a.of())
		f.recorder.WriteHeader(http.StatusNotFound)
		f.recorder.End(true)
		if took := time.Since(start); f.w.status != http.StatusNotFound || took > storageWait-manifestWait+lookAgainWait {
			t.Errorf("the client got %d after %v", f.w.status, took)
		}
		time.Sleep(time.Hour)
	})
}

// The storage fails for a moment when it is asked. Before a 404 it is asked again.
func TestStorageThatFailsBeforeTheRequest(t *testing.T) {
	for _, operations := range [][]string{{"find"}, {"find", "begin"}} {
		synctest.Test(t, func(t *testing.T) {
			a, seen := newShelf(), new(events)
			f := archived(t, new(Store), 1, seen, a.of())
			f.header(10)
			f.send(document(10))
			f.end(true)
			a.failWith(func(o string) error {
				if slices.Contains(operations, o) {
					return errors.New("broken")
				}
				return nil
			})
			late := archived(t, new(Store), 1, seen, a.of())
			a.failWith(nil)
			late.recorder.WriteHeader(http.StatusNotFound)
			if !late.recorder.End(true) || late.w.status != 200 || !bytes.Equal(late.w.content(), document(10)) {
				t.Errorf("the client got %d, %q", late.w.status, late.w.content())
			}
		})
	}
}

// If the storage fails for long after pieces were dropped from memory, the download is not
// kept, but a client that is fast gets all of it.
func TestStorageThatFailsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 30 << 20
		content := document(size)
		s, a, seen := new(Store), newShelf(), new(events)
		f := archived(t, s, 1, seen, a.of())
		f.header(size)
		for sent := 0; sent < size; sent += PieceSize {
			if sent == 25<<20 {
				a.failWith(func(string) error { return errors.New("broken") })
			}
			f.send(content[sent : sent+PieceSize])
			synctest.Wait()
		}
		if !f.end(true) || !bytes.Equal(f.w.content(), content) {
			t.Errorf("the client got %d bytes", len(f.w.content()))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		seen.are(t, Unstored) // the client has all of it
		if s.used != 0 || len(s.downloads) != 0 || a.abandoned != 1 {
			t.Errorf("%d bytes are kept", s.used)
		}
	})
}

// A storage that gets full can still be read. So memory takes back what it had dropped, and clients
// get everything, also one that is slow.
func TestStorageThatGetsFull(t *testing.T) {
	for _, operation := range []string{"put", "commit"} {
		for _, length := range []int{-1, 14<<20 + 10} {
			synctest.Test(t, func(t *testing.T) {
				const size = 14<<20 + 10
				content := document(size)
				s, a, seen := new(Store), newShelf(), new(events)
				defer s.Close()
				var puts atomic.Int64
				a.failWith(func(o string) error {
					if o == operation && (o == "commit" || puts.Add(1) > 11) {
						return errors.New("no space left on device")
					}
					return nil
				})
				f := archived(t, s, 1, seen, a.of())
				f.w.stall = make(chan struct{})
				f.header(length)
				for p := range slices.Chunk(content, PieceSize) {
					f.send(p)
					synctest.Wait() // the storage is fast enough
				}
				ended := make(chan bool)
				go func() { ended <- f.end(true) }()
				time.Sleep(time.Minute)
				close(f.w.stall)
				if !<-ended || !bytes.Equal(f.w.content(), content) {
					t.Errorf("%s: the client got %d bytes", operation, len(f.w.content()))
				}
				w := newWriter()
				if serve(t.Context(), claimIn(t, s, 1, seen, a.of(), false), w) || !bytes.Equal(w.content(), content) {
					t.Errorf("%s: the next client got %d bytes", operation, len(w.content()))
				}
				seen.are(t, Unstored, HandedOver)
				if a.abandoned != 1 || len(a.entries) != 0 {
					t.Errorf("%s: the storage keeps something", operation)
				}
				s.mu.Lock()
				used := s.used
				s.mu.Unlock()
				if used < size || used > size+2*PieceSize {
					t.Errorf("%s: %d bytes count for a download of %d", operation, used, size)
				}
			})
		}
	}
}

// Memory has taken back what a client is waiting for, and the storage has deleted it meanwhile. The
// client gets it from memory.
func TestStorageThatGetsFullWhileAClientReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 14 << 20
		content := document(size)
		s, a, seen := new(Store), newShelf(), new(events)
		defer s.Close()
		var reads atomic.Int64
		deleted := make(chan struct{})
		a.failWith(func(operation string) error {
			switch {
			case operation == "commit":
				return errors.New("no space left on device")
			case operation == "piece" && reads.Add(1) == 1:
				<-deleted
				return fs.ErrNotExist
			}
			return nil
		})
		f := archived(t, s, 1, seen, a.of())
		f.header(size)
		for p := range slices.Chunk(content, PieceSize) {
			f.send(p)
			synctest.Wait() // the storage is fast enough
		}
		w, ended := newWriter(), make(chan bool)
		d := claimIn(t, s, 1, seen, a.of(), false)
		go func() { ended <- serve(t.Context(), d, w) }()
		synctest.Wait()
		if !f.end(true) {
			t.Errorf("the client got %d bytes", len(f.w.content()))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if a.abandoned != 1 {
			t.Error("the storage keeps it")
		}
		close(deleted)
		if <-ended || !bytes.Equal(w.content(), content) {
			t.Errorf("the client that waited got %d bytes", len(w.content()))
		}
		seen.are(t, Unstored, HandedOver)
	})
}

// If what memory takes back does not fit beside another download, the download is not kept. It is
// not dropped to make room for itself: what is reserved for it then would never be free again.
func TestStorageThatGetsFullWithMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 14 << 20
		s, a, seen := &Store{Limit: size + size/2}, newShelf(), new(events)
		defer s.Close()
		a.failWith(func(operation string) error {
			if operation == "commit" {
				return errors.New("no space left on device")
			}
			return nil
		})
		f := archived(t, s, 1, seen, a.of())
		f.header(size)
		for p := range slices.Chunk(document(size), PieceSize) {
			f.send(p)
			synctest.Wait() // the storage is fast enough
		}
		if !f.end(true) {
			t.Errorf("the client got %d bytes", len(f.w.content()))
		}
		other := newFetch(t, s, 2, seen)
		other.header(size)
		time.Sleep(time.Minute)
		other.send(document(size))
		if !other.end(true) {
			t.Errorf("the other client got %d bytes", len(other.w.content()))
		}
		seen.are(t, Unstored) // the client has all of it
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.used != 0 || len(s.downloads) != 0 {
			t.Errorf("%d bytes and %d downloads are in memory in the end", s.used, len(s.downloads))
		}
	})
}

// A storage that fails for a moment loses nothing, although memory has only a part.
func TestStorageThatFailsForAMoment(t *testing.T) {
	for _, operation := range []string{"put", "commit"} {
		synctest.Test(t, func(t *testing.T) {
			const size = 30 << 20
			content := document(size)
			s, a, seen := new(Store), newShelf(), new(events)
			f := archived(t, s, 1, seen, a.of())
			f.header(size)
			for sent := 0; sent < size; sent += PieceSize {
				if sent == 25<<20 {
					until := time.Now().Add(500 * time.Millisecond)
					a.failWith(func(o string) error {
						if o == operation && time.Now().Before(until) {
							return errors.New("broken")
						}
						return nil
					})
				}
				f.send(content[sent : sent+PieceSize])
				synctest.Wait()
			}
			if !f.end(true) {
				t.Errorf("%s: the client got %d bytes", operation, len(f.w.content()))
			}
			seen.are(t)
			if !bytes.Equal(a.content(1), content) {
				t.Errorf("%s: the archive has %d bytes", operation, len(a.content(1)))
			}
		})
	}
}

// A failure to begin says nothing about what the archive already has.
func TestStorageThatFailsAfterAnotherProcessHasStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newShelf()
		f := archived(t, new(Store), 1, &events{}, a.of())
		f.header(10)
		f.send(document(10))
		f.end(true)
		d := claimIn(t, new(Store), 1, &events{}, a.of(), false)
		d.unstored(errors.New("broken"))
		w := newWriter()
		if serve(t.Context(), d, w); !bytes.Equal(w.content(), document(10)) {
			t.Errorf("the client got %d bytes", len(w.content()))
		}
	})
}

// If a piece cannot be read back, the transfer breaks off, and the next one may work.
func TestPieceThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, seen := new(Store), newShelf(), new(events)
		f := archived(t, s, 1, seen, a.of())
		f.header(10)
		f.send(document(10))
		f.end(true)
		s.Close()
		a.failWith(func(o string) error {
			if o == "piece" {
				return errors.New("broken")
			}
			return nil
		})
		other := new(Store)
		if !serve(t.Context(), claimIn(t, other, 1, seen, a.of(), false), newWriter()) {
			t.Error("the client sees a whole response")
		}
		seen.are(t, Unreadable)
		a.failWith(nil)
		w := newWriter()
		if serve(t.Context(), claimIn(t, other, 1, seen, a.of(), false), w) || !bytes.Equal(w.content(), document(10)) {
			t.Errorf("the next client gets %q", w.content())
		}
	})
}

// What is read back from the storage counts as memory until it is handed over.
func TestMemoryOfPiecesThatAreReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 3<<20 + 10
		a := newShelf()
		f := archived(t, new(Store), 1, &events{}, a.of())
		f.header(size)
		f.send(document(size))
		f.end(true)
		s := new(Store)
		goOn, ended := make(chan struct{}), make(chan bool)
		for range 5 {
			go func() {
				w := newWriter()
				w.stall = goOn
				serve(t.Context(), claimIn(t, s, 1, &events{}, a.of(), false), w)
				ended <- bytes.Equal(w.content(), document(size))
			}()
		}
		synctest.Wait()
		if s.used != 5<<20 {
			t.Errorf("%d bytes count", s.used)
		}
		close(goOn)
		for range 5 {
			if !<-ended {
				t.Error("a client did not get all")
			}
		}
		if s.used != 0 {
			t.Errorf("at the end, %d bytes count", s.used)
		}
	})
}

// A server that is faster than the storage waits, so that memory stays small and all is
// stored.
func TestServerThatIsFasterThanTheStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 30 << 20
		content := document(size)
		s, a := new(Store), newShelf()
		defer s.Close()
		a.failWith(func(operation string) error {
			if operation == "put" {
				time.Sleep(200 * time.Millisecond)
			}
			return nil
		})
		most := int64(0)
		s.Changed = func(int, int64) { most = max(most, s.used) }
		ended := make(chan *fetch)
		for i := range byte(8) {
			f := archived(t, s, i, &events{}, a.of())
			go func() {
				f.header(size)
				f.send(content)
				f.end(true)
				ended <- f
			}()
		}
		for range 8 {
			if f := <-ended; !bytes.Equal(f.w.content(), content) {
				t.Errorf("a client got %d bytes", len(f.w.content()))
			}
		}
		synctest.Wait()
		for i := range byte(8) {
			if !bytes.Equal(a.content(i), content) {
				t.Errorf("the storage has %d bytes", len(a.content(i)))
			}
		}
		if limit := int64(storedLimit + 8*(maxUnstored+1)*PieceSize); most > limit {
			t.Errorf("%d bytes were in memory, more than %d", most, limit)
		}
	})
}

// A storage that hangs when memory is crowded costs at most a second.
func TestStorageThatHangsWhileMemoryIsCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 30 << 20
		content := document(size)
		s, a, seen := new(Store), newShelf(), new(events)
		defer s.Close()
		a.failWith(func(operation string) error {
			if operation == "put" {
				time.Sleep(time.Minute)
				return errors.New("broken")
			}
			return nil
		})
		f := archived(t, s, 1, seen, a.of())
		start := time.Now()
		f.header(size)
		f.send(content)
		ended := f.end(true)
		if took := time.Since(start); took > storageWait {
			t.Errorf("it took %v", took)
		}
		if !ended || !bytes.Equal(f.w.content(), content) {
			t.Errorf("the client got %d bytes", len(f.w.content()))
		}
		time.Sleep(2 * time.Minute)
	})
}

// A storage that stores every piece, but slowly, costs at most a second more than one that is
// just fast enough. Then memory is used, and the storage gets the download nevertheless.
func TestStorageThatIsSlowWhileMemoryIsCrowded(t *testing.T) {
	for _, takes := range []time.Duration{pieceWait, 2 * pieceWait, storageWait - 1} {
		synctest.Test(t, func(t *testing.T) {
			const size = 30 << 20
			content := document(size)
			s, a, seen := new(Store), newShelf(), new(events)
			defer s.Close()
			a.failWith(func(operation string) error {
				if operation == "put" {
					time.Sleep(takes)
				}
				return nil
			})
			f := archived(t, s, 1, seen, a.of())
			start := time.Now()
			f.header(size)
			f.send(content)
			waits := size/PieceSize - maxUnstored
			if takes > pieceWait {
				waits = min(waits, 1+int(storageWait/(takes-pieceWait)))
			}
			took := time.Since(start)
			if limit := storageWait + time.Duration(waits)*pieceWait; took > limit {
				t.Errorf("if a piece takes %v, it took %v, want %v at most", takes, took, limit)
			}
			if !f.end(true) || !bytes.Equal(f.w.content(), content) {
				t.Errorf("if a piece takes %v, the client got %d bytes", takes, len(f.w.content()))
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if !bytes.Equal(a.content(1), content) {
				t.Errorf("if a piece takes %v, the storage has %d bytes", takes, len(a.content(1)))
			}
			if takes == pieceWait {
				seen.are(t)
			} else {
				seen.are(t, Unstored, Stored)
			}
		})
	}
}

// A storage is slow, and the download does not fit into the memory. It is not given up for that as
// long as the storage goes on, however its client does.
func TestStorageThatIsSlowWhileMemoryIsFull(t *testing.T) {
	for _, client := range []string{"leaves", "stalls", "follows"} {
		synctest.Test(t, func(t *testing.T) {
			const size = 30 << 20
			content := document(size)
			s, a := &Store{Limit: 10 << 20}, newShelf()
			defer s.Close()
			a.failWith(func(operation string) error {
				if operation == "put" {
					time.Sleep(2 * pieceWait)
				}
				return nil
			})
			f := archived(t, s, 1, new(events), a.of())
			f.w.stall = make(chan struct{})
			if client == "follows" {
				close(f.w.stall)
			}
			f.header(size)
			f.send(content[:PieceSize])
			if client == "leaves" {
				f.w.err = errors.New("gone")
				close(f.w.stall)
				f.leave()
			}
			synctest.Wait()
			f.send(content[PieceSize:])
			ended := make(chan bool)
			go func() { ended <- f.end(true) }()
			time.Sleep(time.Minute)
			if client == "stalls" {
				close(f.w.stall)
			}
			if got := <-ended; got != (client != "leaves") || got && !bytes.Equal(f.w.content(), content) {
				t.Errorf("the client that %s got %d bytes", client, len(f.w.content()))
			}
			if !bytes.Equal(a.content(1), content) {
				t.Errorf("if the client %s, the storage has %d bytes", client, len(a.content(1)))
			}
		})
	}
}

// A storage that hangs when memory is full costs a client that follows little more than a second.
func TestStorageThatHangsWhileMemoryIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 30 << 20
		content := document(size)
		s, a, seen := &Store{Limit: 10 << 20}, newShelf(), new(events)
		defer s.Close()
		a.failWith(func(operation string) error {
			if operation == "put" {
				time.Sleep(time.Minute)
			}
			return nil
		})
		f := archived(t, s, 1, seen, a.of())
		start := time.Now()
		f.header(size)
		f.send(content)
		if !f.end(true) || !bytes.Equal(f.w.content(), content) {
			t.Errorf("the client got %d bytes", len(f.w.content()))
		}
		if took := time.Since(start); took > storageWait+pieceWait {
			t.Errorf("it took %v", took)
		}
		seen.are(t, Unstored, NoRoom)
		time.Sleep(2 * time.Minute)
	})
}

// A storage that has lost a piece is seen in the log: the client's transfer breaks off, and the
// next one does so too.
func TestPieceThatIsGone(t *testing.T) {
	errLost := errors.New("evicted")
	for name, test := range map[string]struct {
		leaves bool
		want   Event
	}{
		"the client stays":  {false, Unreadable},
		"the client leaves": {true, Interrupted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := new(Store), newShelf()
				f := archived(t, s, 1, new(events), a.of())
				f.header(10)
				f.send(document(10))
				f.end(true)
				s.Close()
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				a.failWith(func(operation string) error {
					if operation != "piece" {
						return nil
					}
					if test.leaves {
						leave()
					}
					return errLost
				})
				other, seen := new(Store), new(events)
				defer other.Close()
				if !serve(ctx, claimIn(t, other, 1, seen, a.of(), false), newWriter()) {
					t.Error("the transfer does not break off")
				}
				seen.are(t, test.want)
				if got := seen.err; (test.want == Unreadable) != errors.Is(got, errLost) {
					t.Errorf("the error is %v", got)
				}
			})
		})
	}
}

// Clients that stand still while they get downloads from the archive take up little memory, and
// do not keep new downloads out. They get everything when they go on.
func TestStalledClientsOfStoredDownloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 60
		content := document(2*PieceSize + 10)
		a := newShelf()
		first := new(Store)
		f := archived(t, first, 1, new(events), a.of())
		f.header(len(content))
		f.send(content)
		f.end(true)
		first.Close()

		s, goOn := &Store{Limit: 16 << 20}, make(chan struct{})
		defer s.Close()
		ended := make(chan bool, clients)
		for range clients {
			d := claimIn(t, s, 1, new(events), a.of(), false)
			go func() {
				w := newWriter()
				w.stall = goOn
				ended <- !serve(t.Context(), d, w) && bytes.Equal(w.content(), content)
			}()
		}
		synctest.Wait()
		s.mu.Lock()
		used := s.used
		s.mu.Unlock()
		if limit := int64(loadedLimit + clients*loadedPart); used > limit {
			t.Errorf("they take up %d MiB, want %d at most", used>>20, limit>>20)
		}
		keep(t, s, 2, PieceSize, true)
		close(goOn)
		for range clients {
			if !<-ended {
				t.Fatal("a client does not get everything")
			}
		}
		if s.loaded != 0 {
			t.Errorf("%d bytes are loaded in the end", s.loaded)
		}
	})
}

// Many small downloads at once are all kept although the storage does not take them yet: each
// takes up about as much memory as it is long.
func TestManySmallDownloadsAtOnce(t *testing.T) {
	for _, size := range []int{5 << 10, 100 << 10} {
		for _, length := range []int{-1, size} {
			synctest.Test(t, func(t *testing.T) {
				s, a, seen := new(Store), newShelf(), new(events)
				defer s.Close()
				a.failWith(func(operation string) error {
					if operation == "put" {
						time.Sleep(time.Minute)
					}
					return nil
				})
				for key := range byte(200) {
					f := archived(t, s, key, seen, a.of())
					f.header(length)
					f.send(document(size))
					go f.end(true)
				}
				synctest.Wait()
				if limit := int64(200 * (2*size + 20<<10)); s.used > limit {
					t.Errorf("with the length %d, %d downloads of %d bytes take up %d bytes, want %d at most", length, 200, size, s.used, limit)
				}
				seen.are(t)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				for key := range byte(200) {
					if !bytes.Equal(a.content(key), document(size)) {
						t.Fatalf("the storage has %d bytes of %d", len(a.content(key)), size)
					}
				}
			})
		}
	}
}

// However many clients come back at once, a few pieces are being loaded at a time: each takes up
// memory that does not count yet. A client that leaves does not wait.
func TestClientsThatComeBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 40
		content := document(PieceSize + 10)
		a := newShelf()
		first := new(Store)
		f := archived(t, first, 1, new(events), a.of())
		f.header(len(content))
		f.send(content)
		f.end(true)
		first.Close()

		var loading, most atomic.Int64
		a.failWith(func(operation string) error {
			if operation == "piece" {
				n := loading.Add(1)
				defer loading.Add(-1)
				most.Store(max(most.Load(), n))
				time.Sleep(time.Second)
			}
			return nil
		})
		s, seen := new(Store), new(events)
		defer s.Close()
		ended := make(chan bool, clients)
		for range clients {
			d := claimIn(t, s, 1, new(events), a.of(), false)
			go func() {
				w := newWriter()
				ended <- !serve(t.Context(), d, w) && bytes.Equal(w.content(), content)
			}()
		}
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan bool)
		d := claimIn(t, s, 1, seen, a.of(), false)
		go func() { left <- serve(ctx, d, newWriter()) }()
		synctest.Wait()
		start := time.Now()
		leave()
		if !<-left || time.Since(start) > 0 {
			t.Errorf("a client that leaves waits %v", time.Since(start))
		}
		seen.are(t, Interrupted)
		for range clients {
			if !<-ended {
				t.Fatal("a client does not get everything")
			}
		}
		if n := most.Load(); n != maxLoads {
			t.Errorf("%d pieces were loaded at a time, want %d", n, maxLoads)
		}
		if s.loaded != 0 {
			t.Errorf("%d bytes are loaded in the end", s.loaded)
		}
	})
}
