package download

import (
	"cmp"
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// defaultLimit is the size, in bytes, of the memory for all downloads together.
	defaultLimit = 128 << 20

	// lifetime is how long a download is kept.
	lifetime = 10 * time.Minute

	// overhead is the memory, in bytes, that a download takes up besides its body.
	overhead = 4 << 10

	// chunkSize is the size, in bytes, of the steps in which a body of unknown length
	// grows.
	chunkSize = 64 << 10
)

// A Store keeps downloads in memory. The zero value can be used.
//
// Every download is kept, even if its transfer ended without an error. That only says
// that the kernel took the bytes; the client may have gone before it read them. When
// room is needed, downloads whose transfer ended so are dropped, the oldest first. A
// download whose last transfer broke off is kept until its time is over.
type Store struct {
	// Limit is the size, in bytes, of the memory for all downloads together.
	// Default: 128 MiB.
	Limit int64

	// Changed is called when the number of downloads in memory changes, or the number of
	// bytes that they take up. It gets the differences. The store is locked meanwhile.
	Changed func(downloads int, bytes int64)

	mu        sync.Mutex
	used      int64
	downloads map[Key]*Download
	closed    bool
}

// A Key identifies a download: its content, and the client that it belongs to.
type Key [sha256.Size]byte

// An Observer is told if a download is lost: the store drops it, although its last
// transfer broke off.
type Observer interface {
	// Expired says that the time of the download is over.
	Expired(d *Download)
	// Closed says that the store is closed.
	Closed(d *Download)
}

// A Download is a response in memory, or a placeholder for a response that has not
// arrived yet.
type Download struct {
	store    *Store
	key      Key
	observer Observer
	settled  chan struct{} // closed when the download is kept, or is certain not to be kept

	// These are what clients get. They do not change once the download is kept.
	status int
	header http.Header
	body   [][]byte
	length int64

	// These are guarded by store.mu.
	size      int64 // memory reserved, in bytes
	kept      bool
	since     time.Time
	expiry    *time.Timer
	transfers int  // under way
	delivered bool // the last transfer ended without an error
	dropped   bool
}

// Claim returns the download at key, for Serve. If there is none, it returns a new one
// with first set. The caller must settle that by a Recorder, or by Abandon. While a
// download is not settled, further claims wait for it. Claim returns the error of ctx if
// ctx ends meanwhile.
func (s *Store) Claim(ctx context.Context, key Key, observer Observer) (d *Download, first bool, err error) {
	for {
		s.mu.Lock()
		d := s.downloads[key]
		switch {
		case d == nil:
			d = &Download{store: s, key: key, observer: observer, settled: make(chan struct{})}
			if s.downloads == nil {
				s.downloads = make(map[Key]*Download)
			}
			s.downloads[key] = d
			s.mu.Unlock()
			return d, true, nil
		case d.kept:
			d.transfers++
			s.mu.Unlock()
			return d, false, nil
		}
		s.mu.Unlock()
		select {
		case <-d.settled:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// Close drops all downloads. Transfers that are under way continue.
func (s *Store) Close() {
	var lost []*Download
	s.mu.Lock()
	s.closed = true
	for _, d := range s.downloads {
		if !d.kept {
			continue // the request that waits for it settles it
		}
		if !d.delivered {
			lost = append(lost, d)
		}
		d.drop()
	}
	s.mu.Unlock()
	for _, d := range lost {
		d.observer.Closed(d)
	}
}

// makeRoom drops downloads that were delivered, the oldest first, until n bytes are
// free. If they would not suffice, it drops none.
func (s *Store) makeRoom(n int64) bool {
	if n <= 0 {
		return true
	}
	var spare []*Download
	var size int64
	for _, d := range s.downloads {
		if d.delivered && d.transfers == 0 {
			spare = append(spare, d)
			size += d.size
		}
	}
	if size < n {
		return false
	}
	slices.SortFunc(spare, func(a, b *Download) int { return a.since.Compare(b.since) })
	for ; n > 0; spare = spare[1:] {
		n -= spare[0].size
		spare[0].drop()
	}
	return true
}

// changed reports a change of the number of downloads, and of bytes.
func (s *Store) changed(downloads int, bytes int64) {
	s.used += bytes
	if s.Changed != nil {
		s.Changed(downloads, bytes)
	}
}

// Length returns the length of the body, in bytes.
func (d *Download) Length() int64 { return d.length }

// Abandon settles a download of a first claim that was not fetched. The next claim is a
// first one again.
func (d *Download) Abandon() {
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.downloads, d.key)
	d.free()
	close(d.settled)
}

// reserve reserves n more bytes for the download. It returns false if there are not so
// many.
func (d *Download) reserve(n int64) bool {
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := cmp.Or(s.Limit, defaultLimit)
	if s.closed || n > limit || !s.makeRoom(s.used+n-limit) {
		return false
	}
	d.size += n
	s.changed(0, n)
	return true
}

// keep settles the download, which has arrived whole, as kept. It must be given back
// with done.
func (d *Download) keep() {
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	d.kept, d.transfers, d.since = true, 1, time.Now()
	s.changed(1, 0)
	if s.closed {
		d.drop()
	} else {
		d.expiry = time.AfterFunc(lifetime, d.expire)
	}
	close(d.settled)
}

// done ends a transfer. delivered says whether the client got everything. done reports
// whether the download is still kept.
func (d *Download) done(delivered bool) (kept bool) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.transfers--
	d.delivered = delivered
	if d.dropped && d.transfers == 0 {
		d.free()
	}
	return !d.dropped
}

// expire drops the download when its time is over.
func (d *Download) expire() {
	d.store.mu.Lock()
	lost := !d.dropped && !d.delivered && d.transfers == 0
	if !d.dropped {
		d.drop()
	}
	d.store.mu.Unlock()
	if lost {
		d.observer.Expired(d)
	}
}

// drop removes a download that is kept. Transfers of it that are under way continue.
func (d *Download) drop() {
	if d.expiry != nil {
		d.expiry.Stop()
	}
	delete(d.store.downloads, d.key)
	d.store.changed(-1, 0)
	d.dropped = true
	if d.transfers == 0 {
		d.free()
	}
}

// free gives back the memory of the download.
func (d *Download) free() {
	d.body = nil // the bytes are not overwritten: HTTP/2 may still read them for a client that has left
	d.store.changed(0, -d.size)
	d.size = 0
}
