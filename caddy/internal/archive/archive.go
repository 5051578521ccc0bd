package archive

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

const (
	// refreshTime is the time after which a mark is written anew.
	refreshTime = time.Second

	// firstLook is the time after which a process looks for the first time whether its mark
	// is still there. Then it waits as long as its mark is old, up to refreshTime.
	firstLook = 50 * time.Millisecond

	// lookMargin is how much longer than expected another process may take to see that its
	// mark was replaced, and to write it again.
	lookMargin = 100 * time.Millisecond

	// pollTime is the time between two looks while another process downloads.
	pollTime = 250 * time.Millisecond

	// staleTime is the time after which a mark that has not changed belongs to a process
	// that is gone.
	staleTime = 10 * time.Second
)

// An Archive keeps the downloads of one client. New makes one.
type Archive struct {
	operations operations
	transfers  operations // with pieces, so that they do not hold up the others
	secrets    secrets
	closed     context.Context
	close      context.CancelFunc
	wake       chan struct{} // of the sweeper

	mu        sync.Mutex
	attached  []*Settings // the newest last; there is always one after the first Attach
	until     time.Time   // until then, there may be downloads that were stored before the last Attach
	writing   map[string]*newEntry
	documents map[string]ticket // of manifests that were seen or written, by name
	ended     map[id]string     // marks of this process that could not be deleted: their names
	reported  map[id]time.Time  // losses that were reported, until their marks are gone
}

// Settings are what an Archive uses. A configuration attaches its own.
type Settings struct {
	// Storage has the downloads.
	Storage Storage

	// Keep is how long a download is kept after it is whole.
	Keep time.Duration

	// Secrets returns the sealing secrets. The first one seals, all of them open. If it
	// returns an error or none, those that it returned before are used.
	Secrets func() ([][]byte, error)

	// Lost is called when a download turns out to be lost, at least once in all
	// processes together.
	Lost func(Loss)
}

// New returns an Archive for which Attach must be called.
func New() *Archive {
	a := &Archive{
		operations: make(operations, maxOperations), transfers: make(operations, maxTransfers),
		wake:    make(chan struct{}, 1),
		writing: make(map[string]*newEntry), documents: make(map[string]ticket),
		ended: make(map[id]string), reported: make(map[id]time.Time),
	}
	a.closed, a.close = context.WithCancel(context.Background())
	return a
}

// Attach makes the archive use s until s is detached, or others are attached. The last
// settings stay in use when they are detached. From the first Attach on, the archive
// deletes what is out of date, in the background.
func (a *Archive) Attach(s Settings) (detach func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.attached == nil {
		go a.sweepAlways()
	}
	period := s.Keep
	if last := len(a.attached) - 1; last >= 0 {
		period = max(period, a.attached[last].Keep)
	}
	a.until = time.Now().Add(period)
	attached := &s
	a.attached = append(a.attached, attached)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.attached) > 1 {
			a.attached = slices.DeleteFunc(a.attached, func(other *Settings) bool { return other == attached })
		}
	}
}

// Close ends what the archive does in the background. What it keeps stays in the storage.
func (a *Archive) Close() { a.close() }

// settings returns the settings that were attached last.
func (a *Archive) settings() *Settings {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.attached[len(a.attached)-1]
}

// MayHaveDownloads reports whether the storage may have downloads whose time is not over. The
// archive does not know all that other processes have stored before the last Attach.
func (a *Archive) MayHaveDownloads() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().Before(a.until) {
		return true
	}
	for _, t := range a.documents {
		if time.Now().Before(t.expiry()) {
			return true
		}
	}
	return false
}

// sealers returns the sealers in use. The first one seals.
func (a *Archive) sealers() ([]*sealer, error) {
	s := a.settings()
	values, err := s.Secrets()
	sealers, useErr := a.secrets.use(values, s.Keep)
	if useErr != nil {
		return nil, errors.Join(err, useErr)
	}
	return sealers, nil
}

// For returns the archive for a download. If that is lost, label is in its Loss.
func (a *Archive) For(label ...string) download.Archive { return &labelled{Archive: a, label: label} }

// labelled is an Archive for one download.
type labelled struct {
	*Archive

	label []string

	mu     sync.Mutex
	looked time.Time // when the last Find that found nothing began to look; zero if there is none
}

// saw says that a look that began at a time found nothing.
func (a *labelled) saw(began time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looked = began
}

// Begin implements download.Archive.
func (a *labelled) Begin(ctx context.Context, key download.Key) (download.NewEntry, error) {
	sealers, err := a.sealers()
	if err != nil {
		return nil, err
	}
	e, err := a.newEntry(sealers[0], key, Loss{a.label, time.Now()})
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	looked := a.looked
	a.mu.Unlock()
	if time.Since(looked) > refreshTime {
		looked = time.Now()
		if err := a.unmarked(ctx, e.name); err != nil {
			return nil, err
		}
	}
	if err := e.mark(ctx); err != nil {
		go a.delete(context.WithoutCancel(ctx), markKey(e.name)) //nolint:errcheck // the sweep finds it
		return nil, err
	}
	e.begin(looked)
	return e, nil
}

// errMarked is the error if there is a mark that must not be replaced: its process may be
// gone, and then nobody would see what is lost.
var errMarked = errors.New("another gateway has a mark for the same download")

// unmarked returns an error unless there is no mark for the download called name.
func (a *Archive) unmarked(ctx context.Context, name string) error {
	switch _, err := a.load(ctx, markKey(name)); {
	case err == nil:
		return errMarked
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// Find implements download.Archive.
func (a *labelled) Find(ctx context.Context, key download.Key, limit time.Duration) (download.Entry, error) {
	sealers, err := a.sealers()
	if err != nil {
		return nil, err
	}
	watch, seen := newWatch(a.Archive, key, sealers), time.Now()
	for {
		began := time.Now()
		e, marks, err := a.lookFor(ctx, key, sealers, limit)
		pause := pollTime
		switch {
		case e != nil:
			return e, nil
		case err == nil:
			seen = time.Now()
			if pause = watch.see(ctx, marks); pause == 0 {
				a.saw(began)
				return nil, fs.ErrNotExist
			}
		case time.Since(seen) >= staleTime || len(watch.seen) == 0:
			return nil, err
		default:
			watch.blind()
		}
		if len(watch.seen) > 0 {
			limit = staleTime // the caller waits for another process, not for the storage
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// lookFor is look with a limit.
func (a *Archive) lookFor(ctx context.Context, key download.Key, sealers []*sealer, limit time.Duration) (*entry, map[string]mark, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return a.look(ctx, key, sealers)
}

// look returns the whole download at key, or else the marks of processes that download
// it, by name.
func (a *Archive) look(ctx context.Context, key download.Key, sealers []*sealer) (*entry, map[string]mark, error) {
	type view struct {
		entry *entry
		mark  mark
		err   error
	}
	views := make(chan view, len(sealers))
	for _, s := range sealers {
		go func() {
			var v view
			v.entry, v.mark, v.err = a.lookOne(ctx, key, s)
			views <- v
		}()
	}
	marks := make(map[string]mark)
	var found *entry
	var err error
	for range sealers {
		switch v := <-views; {
		case v.err != nil:
			err = errors.Join(err, v.err)
		case v.entry != nil:
			found = v.entry
		case v.mark.value != nil:
			marks[v.mark.name] = v.mark
		}
	}
	if found != nil || len(marks) > 0 {
		err = nil
	}
	return found, marks, err
}

// lookOne is look for one sealer. A process stores the manifest before it deletes its mark.
// So if there is neither, in this order, no process had begun.
func (a *Archive) lookOne(ctx context.Context, key download.Key, s *sealer) (*entry, mark, error) {
	name := s.name(key)
	value, markErr := a.load(ctx, markKey(name))
	e, err := a.open(ctx, key, s, name)
	switch {
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return e, mark{}, err
	case markErr == nil:
		return nil, mark{name, value}, nil
	case !errors.Is(markErr, fs.ErrNotExist):
		return nil, mark{}, markErr
	}
	return nil, mark{}, nil
}

// open returns the whole download at key. The error is fs.ErrNotExist if there is none.
func (a *Archive) open(ctx context.Context, key download.Key, s *sealer, name string) (*entry, error) {
	manifest, err := a.load(ctx, manifestKey(name))
	if err != nil {
		return nil, err
	}
	t, c, err := s.openManifest(key, manifest)
	if err != nil {
		return nil, err
	}
	if now := time.Now(); !now.Before(t.expiry()) || !now.Before(c.until()) {
		a.note(name, t) // the sweep deletes it
		return nil, fs.ErrNotExist
	}
	if int64(t.Pieces) != pieces(c.Meta.Length) {
		return nil, errChanged
	}
	aead, err := newAEAD(c.Key)
	if err != nil {
		return nil, errChanged
	}
	return &entry{aead, &lease{archive: a, sealer: s, key: key, name: name, id: t.ID, ticket: t, content: c}}, nil
}
