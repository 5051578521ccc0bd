package archive

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// sweepTime is the longest time between two sweeps.
	sweepTime = time.Minute

	// sweepLimit is how long a sweep may take.
	sweepLimit = time.Minute

	// listPause is the time before another attempt to list, doubled each time up to
	// maxListPause.
	listPause    = 50 * time.Millisecond
	maxListPause = time.Second

	// leftoverTime is the time after which pieces without a mark and without a manifest
	// are deleted.
	leftoverTime = time.Minute

	// reportedTime is how long a loss is remembered after its mark was seen. It is longer than
	// the time between two looks at a mark.
	reportedTime = 5 * time.Minute

	// foreignTime is the time after which a mark that has not changed, and that another
	// secret has sealed, is deleted. Until then, a process that has the secret can log
	// what is lost.
	foreignTime = time.Hour
)

// note remembers the manifest of a download.
func (a *Archive) note(name string, t ticket) {
	a.mu.Lock()
	a.documents[name] = t
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // it wakes up anyway
	}
}

// sweepAlways deletes what is out of date, until the archive is closed.
func (a *Archive) sweepAlways() {
	s := sweeper{Archive: a}
	for {
		s.sweep()
		// The time of a download may be over before the next sweep.
		for next := time.Now().Add(s.pause()); ; {
			until, ok := a.deleteExpired()
			if !ok || until.After(next) {
				until = next
			}
			timer := time.NewTimer(time.Until(until))
			select {
			case <-timer.C:
			case <-a.wake:
				timer.Stop()
			case <-a.closed.Done():
				timer.Stop()
				return
			}
			if !time.Now().Before(next) {
				break
			}
		}
	}
}

// deleteExpired deletes the known downloads whose time is over. It returns when the time
// of the next one is over; ok is false if there is none.
func (a *Archive) deleteExpired() (next time.Time, ok bool) {
	ctx, cancel := context.WithTimeout(a.closed, sweepLimit)
	defer cancel()
	expired := make(map[string]ticket)
	a.mu.Lock()
	for name, t := range a.documents {
		switch at := t.expiry(); {
		case !time.Now().Before(at):
			expired[name] = t
			delete(a.documents, name)
		case !ok || at.Before(next):
			next, ok = at, true
		}
	}
	a.mu.Unlock()
	for name, t := range expired {
		if !a.deleteDocument(ctx, name, t) {
			a.postpone(name, t)
		}
	}
	return next, ok
}

// postpone remembers a download whose time is over and that could not be deleted, for the next
// time that the sweeper wakes up. A sweep may not see it: some storages cannot list.
func (a *Archive) postpone(name string, t ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.documents[name]; !ok {
		a.documents[name] = t
	}
}

// deleteDocument deletes a download whose time is over, unless a caller is reading it. It
// returns false if the storage does not say what it has, or does not delete the manifest.
// The sweep deletes pieces that are left.
func (a *Archive) deleteDocument(ctx context.Context, name string, t ticket) bool {
	switch value, err := a.load(ctx, manifestKey(name)); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false // a caller may be reading
	default:
		if present, err := readTicket(value); err == nil && present != t {
			a.note(name, present) // it was downloaded again, or a caller is reading
			if present.ID == t.ID {
				return true
			}
		} else if a.delete(ctx, manifestKey(name)) != nil {
			return false
		}
	}
	_ = a.deletePieces(ctx, name, t)
	return true
}

// maxPieces is the largest number of pieces of a download that are deleted one by one,
// in case somebody has changed the number in the storage.
const maxPieces = 1 << 12

// deletePieces deletes the pieces of one attempt to download something. The first
// error ends it.
func (a *Archive) deletePieces(ctx context.Context, name string, t ticket) error {
	for n := range min(t.Pieces, maxPieces) {
		if err := a.delete(ctx, pieceKey(name, t.ID, int(n))); err != nil {
			return err
		}
	}
	return a.delete(ctx, piecesKey(name, t.ID)) // file systems have directories
}

// lost tells the observer once about a mark whose process is gone, and deletes it. It does
// nothing, and returns false, if no secret in use has sealed the mark.
func (a *Archive) lost(ctx context.Context, m mark) bool {
	sealers, _ := a.sealers()
	for _, s := range sealers {
		if loss, err := s.openMark(m.name, m.value); err == nil {
			if a.report(m) {
				a.settings().Lost(loss)
			}
			_ = a.delete(ctx, markKey(m.name)) // the sweep deletes it if this fails
			return true
		}
	}
	return false
}

// report reports whether the loss that a mark shows has not been reported. A storage may
// refuse to delete the mark, which is seen again then.
func (a *Archive) report(m mark) bool {
	i, _ := idOf(m.value)
	a.mu.Lock()
	defer a.mu.Unlock()
	_, before := a.reported[i]
	a.reported[i] = time.Now()
	return !before
}

// forget forgets the losses whose marks have not been seen for long, and tries again to delete
// marks of this process.
func (s *sweeper) forget(ctx context.Context) {
	s.mu.Lock()
	maps.DeleteFunc(s.reported, func(_ id, at time.Time) bool { return time.Since(at) > reportedTime })
	ended := maps.Clone(s.ended)
	s.mu.Unlock()
	for i, name := range ended {
		if s.unmark(ctx, name, i) == nil {
			s.mu.Lock()
			delete(s.ended, i)
			s.mu.Unlock()
		}
	}
}

// A sweeper remembers what it has seen in the last sweep.
type sweeper struct {
	*Archive

	marks     map[string]sighting  // by name
	leftovers map[string]time.Time // by key: when it was seen first
}

// pause returns the time until the next sweep: shorter if a mark may turn out not to
// change.
func (s *sweeper) pause() time.Duration {
	for _, seen := range s.marks {
		if time.Since(seen.at) < staleTime {
			return staleTime + pollTime
		}
	}
	return sweepTime
}

// A document is what the storage has of a download, by its keys.
type document struct {
	mark, manifest bool
	others         []string
}

// sweep looks through the storage once, and deletes what is out of date.
func (s *sweeper) sweep() {
	ctx, cancel := context.WithTimeout(s.closed, sweepLimit)
	defer cancel()
	_, _ = s.sealers() // so that the secrets are known when they are replaced
	s.forget(ctx)
	keys, err := s.listAgain(ctx)
	if err != nil {
		return // some storages cannot list, or have no such path yet
	}
	documents := make(map[string]*document)
	for _, listed := range keys {
		key := ownKey(listed)
		name := nameOf(key)
		if name == "" {
			continue
		}
		d := documents[name]
		if d == nil {
			d = new(document)
			documents[name] = d
		}
		switch key {
		case markKey(name):
			d.mark = true
		case manifestKey(name):
			d.manifest = true
		default:
			d.others = append(d.others, key)
		}
	}
	last := *s
	s.marks, s.leftovers = make(map[string]sighting), make(map[string]time.Time)
	for name, d := range documents {
		if ctx.Err() != nil {
			return
		}
		s.visit(ctx, name, d, &last)
	}
}

// listAgain is list, with some attempts: List of Caddy's file storage fails if a file is
// deleted meanwhile, and with downloads under way, there is always one.
func (s *sweeper) listAgain(ctx context.Context) (keys []string, err error) {
	for pause := listPause; ; pause *= 2 {
		if keys, err = s.list(ctx); err == nil || errors.Is(err, errSilent) || pause > maxListPause {
			return keys, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

// visit deletes what is out of date of one download.
func (s *sweeper) visit(ctx context.Context, name string, d *document, last *sweeper) {
	s.mu.Lock()
	t, known := s.documents[name]
	_, writing := s.writing[name]
	s.mu.Unlock()
	if writing {
		return
	}
	if d.manifest && !known {
		value, err := s.load(ctx, manifestKey(name))
		if err != nil {
			return
		}
		if t, err = readTicket(value); err == nil {
			s.note(name, t)
		} else {
			d.manifest = false
			d.others = append(d.others, manifestKey(name))
		}
	}
	switch {
	case d.mark:
		s.visitMark(ctx, name, d, last)
		return // its process may be alive
	case d.manifest:
		own := piecesKey(name, t.ID)
		d.others = slices.DeleteFunc(d.others, func(key string) bool {
			return key == own || strings.HasPrefix(key, own+"/")
		})
	}
	for _, key := range d.others {
		s.visitLeftover(ctx, key, last)
	}
}

// visitMark deletes a mark whose process is gone.
func (s *sweeper) visitMark(ctx context.Context, name string, d *document, last *sweeper) {
	value, err := s.load(ctx, markKey(name))
	if err != nil || s.hasEnded(mark{name, value}) {
		return
	}
	seen, ok := last.marks[name]
	if !ok || !bytes.Equal(seen.mark.value, value) {
		seen = sighting{mark{name, value}, time.Now()}
	}
	switch age := time.Since(seen.at); {
	case age >= foreignTime, age >= staleTime && d.manifest:
		_ = s.delete(ctx, markKey(name)) // the next sweep tries again
	case age >= staleTime && s.lost(ctx, seen.mark):
	default:
		s.marks[name] = seen
	}
}

// visitLeftover deletes a key that belongs to nothing. It does so when it sees it again,
// since it may belong to something that was stored meanwhile.
func (s *sweeper) visitLeftover(ctx context.Context, key string, last *sweeper) {
	at, ok := last.leftovers[key]
	switch {
	case !ok:
		s.leftovers[key] = time.Now()
	case time.Since(at) < leftoverTime || s.delete(ctx, key) != nil:
		s.leftovers[key] = at
	}
}
