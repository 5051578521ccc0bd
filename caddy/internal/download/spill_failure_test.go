package download

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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

// If the storage cannot be asked before a 404, the client gets nothing of that, after a limited
// time.
func TestStorageThatFailsBeforeA404(t *testing.T) {
	for _, hangs := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s, a, seen := new(Store), newShelf(), new(events)
			broken := errors.New("broken")
			a.failWith(func(string) error { time.Sleep(hangs); return broken })
			start := time.Now()
			f := archived(t, s, 1, seen, a.of())
			f.recorder.Header().Set("X-Server", "it")
			f.recorder.WriteHeader(http.StatusNotFound)
			if n, err := f.recorder.Write(document(10)); n != 10 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			if !f.recorder.End(true) || f.w.status != 0 || len(f.w.content()) != 0 || len(f.w.Header()) != 0 {
				t.Errorf("the client got %d, %v, %q", f.w.status, f.w.Header(), f.w.content())
			}
			if f.recorder.Unasked() == nil {
				t.Error("the 404 counts")
			}
			if took := time.Since(start); took > storageWait-manifestWait+lookAgainWait {
				t.Errorf("it took %v", took)
			}
			seen.are(t, Unstored, Unmarked)
			time.Sleep(time.Hour)
			if s.used != 0 || len(s.downloads) != 0 {
				t.Errorf("%d bytes are kept", s.used)
			}
		})
	}
}

// A client that leaves while the storage is asked is no reason to blame the storage.
func TestClientLeavesBeforeA404(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, seen := newShelf(), new(events)
		f := archived(t, new(Store), 1, seen, a.of())
		a.failWith(func(string) error { time.Sleep(time.Second); return errors.New("broken") })
		time.AfterFunc(time.Millisecond, f.leave)
		f.recorder.WriteHeader(http.StatusNotFound)
		f.recorder.End(true)
		if err := f.recorder.Unasked(); err != nil {
			t.Error(err)
		}
		seen.are(t, GoesOn)
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
