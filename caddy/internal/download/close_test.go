package download

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A download that comes when the store is closed is stored all the same, although its client
// has left, and Close waits for that.
func TestCloseWaitsForTheArchive(t *testing.T) {
	for name, length := range map[string]int{"with its length": 2 * PieceSize, "without": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, seen := new(Store), newShelf(), new(events)
				f := archived(t, s, 1, seen, a.of())
				f.header(length)
				f.send(document(100))
				f.leave()
				synctest.Wait()
				closed := make(chan time.Duration)
				go func() {
					start := time.Now()
					s.Close()
					closed <- time.Since(start)
				}()
				time.Sleep(5 * time.Second)
				f.send(document(2 * PieceSize)[100:])
				f.end(true)
				if took := <-closed; took != 5*time.Second {
					t.Errorf("it has waited %v", took)
				}
				if !bytes.Equal(a.content(1), document(2*PieceSize)) {
					t.Errorf("the archive has %d bytes", len(a.content(1)))
				}
				seen.are(t, GoesOn)
			})
		})
	}
}

// A download that a slow storage does not have yet, although it is whole, is stored before Close
// returns: its client may come back.
func TestCloseWaitsForASlowArchive(t *testing.T) {
	for name, test := range map[string]struct {
		takes time.Duration // for each piece
		late  bool          // it comes after Close was called
		want  time.Duration
		last  Event
	}{
		"slow":                {2 * time.Second, false, 6*time.Second - storageWait, Stored},
		"slow while it comes": {2 * time.Second, true, 7 * time.Second, Stored},
		"too slow":            {time.Minute, false, closeWait, Closed},
		"too slow, and late":  {time.Minute, true, closeWait, Closed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, seen := new(Store), newShelf(), new(events)
				a.failWith(func(operation string) error {
					if operation == "put" {
						time.Sleep(test.takes)
					}
					return nil
				})
				content := document(3 * PieceSize)
				f := archived(t, s, 1, seen, a.of())
				f.header(len(content))
				f.leave()
				synctest.Wait()
				took := make(chan time.Duration)
				closing := func() {
					start := time.Now()
					s.Close()
					took <- time.Since(start)
				}
				if test.late {
					go closing()
					time.Sleep(time.Second)
				}
				f.send(content)
				f.end(true)
				if !test.late {
					go closing()
				}
				if took := <-took; took != test.want {
					t.Errorf("it has waited %v, want %v", took, test.want)
				}
				seen.are(t, GoesOn, Unstored, Interrupted, test.last)
				if stored := bytes.Equal(a.content(1), content); stored != (test.last == Stored) {
					t.Errorf("the archive has %d bytes", len(a.content(1)))
				}
				if s.used != 0 || len(s.downloads) != 0 {
					t.Errorf("%d bytes and %d downloads are in memory", s.used, len(s.downloads))
				}
				time.Sleep(time.Minute) // the storage ends what it does
			})
		})
	}
}

// Close does not wait for long, and not for what no archive keeps. What still comes is
// observed, since it is lost if the process ends.
func TestCloseDoesNotWaitForLong(t *testing.T) {
	for name, test := range map[string]struct {
		archive, broken bool
		want            time.Duration
	}{
		"memory":                 {},
		"archive":                {archive: true, want: closeWait},
		"archive that is broken": {archive: true, broken: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen := new(Store), new(events)
				options := Options{Observer: seen}
				if test.archive {
					a := newShelf()
					if test.broken {
						a.failWith(func(string) error { return errors.New("gone") })
					}
					options.Archive = a.of()
				}
				var fetches []*fetch
				for key := range byte(3) { // they are waited for together
					f := newFetchWith(t, s, key, options)
					f.header(10)
					f.send([]byte("1"))
					f.leave()
					synctest.Wait()
					fetches = append(fetches, f)
				}
				seen.seen = nil
				start := time.Now()
				s.Close()
				if took := time.Since(start); took != test.want {
					t.Errorf("it has waited %v", took)
				}
				seen.are(t, Underway, Underway, Underway)
				for _, f := range fetches {
					f.end(false)
				}
			})
		})
	}
}

// A download that becomes whole after the end, and that nobody has got, is lost.
func TestLossAfterTheEndIsObserved(t *testing.T) {
	for name, length := range map[string]int{"with its length": 10, "without": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen := new(Store), new(events)
				f := newFetch(t, s, 1, seen)
				f.header(length)
				f.send([]byte("1"))
				f.leave()
				synctest.Wait()
				s.Close()
				f.send(document(9))
				f.end(true)
				seen.are(t, GoesOn, Underway, Closed)
			})
		})
	}
}
