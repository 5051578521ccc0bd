package download

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

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
