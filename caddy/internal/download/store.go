package download

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

const (
	// defaultLimit is the size, in bytes, of the memory for all downloads together.
	defaultLimit = 128 << 20

	// defaultKeep is how long a download is kept.
	defaultKeep = 10 * time.Minute

	// storedLimit is how much memory, in bytes, all downloads take up before pieces that
	// the archive has are dropped.
	storedLimit = 8 << 20

	// loadedLimit is how much memory, in bytes, pieces take up that transfers have loaded from
	// the archive. Beyond it, a transfer loads loadedPart bytes at a time.
	loadedLimit = 32 << 20
	loadedPart  = 128 << 10

	// maxLoads is how many pieces are being loaded at a time. Until a piece counts as loaded, it
	// takes up its memory two times or more: in the form of the archive too.
	maxLoads = 8

	// stallTime is the time after which a client that does not take a part stands still.
	stallTime = 100 * time.Millisecond

	// overhead is the memory, in bytes, that a download takes up besides its header and
	// content.
	overhead = 4 << 10

	// maxAlone is how many requests may go on at a time although their clients have left.
	maxAlone = 64

	// closeWait is how long Close waits for downloads that come.
	closeWait = 10 * time.Second

	// idle is how long such a request may go on without a byte of content.
	idle = time.Minute
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

	// Changed is called when the number of whole downloads in memory changes, or the
	// number of bytes that all take up. It gets the differences. The store is locked
	// meanwhile.
	Changed func(downloads int, bytes int64)

	mu        sync.Mutex // also for all downloads
	used      int64
	loaded    int64 // the part of it that transfers have loaded from the archive
	alone     int   // number of downloads whose request goes on alone
	unstored  bool  // the archive has failed, and has not kept a download since
	downloads map[Key]*Download
	spare     [][]byte      // memory of dropped downloads, for new pieces of PieceSize
	loads     chan struct{} // has room for maxLoads; nil before the first one
	closed    bool
}

// A Key identifies a download: its content, and the client that it belongs to.
type Key [sha256.Size]byte

// Options say how a download is kept.
type Options struct {
	// Keep is how long the download is kept. Default: 10 minutes.
	Keep time.Duration

	// Archive keeps the download too, and may have it already. Default: it is kept in
	// memory only.
	Archive Archive

	// Former is an archive that may have the download from before, if there is no Archive.
	// Nothing is put there, and nobody is told if it fails.
	Former Archive

	// Observer is told what happens to the download. Required.
	Observer Observer
}

// Claim returns the download at key, for Serve. If there is none, it returns a new one
// with first set. The caller must settle that by a Recorder, or by Abandon. Until the
// header of a download has come, further claims wait for it. Claim returns the error of
// ctx if ctx ends meanwhile. Options are those of the first claim.
//
// Before a claim is a first one, the archive is asked for the download.
func (s *Store) Claim(ctx context.Context, key Key, options Options) (d *Download, first bool, err error) {
	for {
		s.mu.Lock()
		d := s.downloads[key]
		if d == nil {
			d = newDownload(s, key, options)
			if s.downloads == nil {
				s.downloads = make(map[Key]*Download)
			}
			s.downloads[key] = d
			s.mu.Unlock()
			first, err := d.find(ctx)
			if err != nil {
				d.Abandon()
				return nil, false, err
			}
			return d, first, nil
		}
		d.join()
		s.mu.Unlock()
		select {
		case <-d.begun:
			s.mu.Lock()
			there := d.state == coming || d.state == whole
			s.mu.Unlock()
			if there {
				return d, false, nil
			}
			d.leave()
		case <-ctx.Done():
			d.leave()
			return nil, false, ctx.Err()
		}
	}
}

// Close drops all downloads. It waits until the archive has those that still come, or that it
// does not have yet, but not long. Transfers that are under way continue.
func (s *Store) Close() {
	var lost, unsettled []*Download
	s.mu.Lock()
	s.closed = true
	for _, d := range s.downloads {
		switch {
		case !d.kept && d.cancel != nil && !d.passing: // its request settles it
			unsettled = append(unsettled, d)
		case !d.kept:
		case d.storing():
			unsettled = append(unsettled, d)
		default:
			if !d.delivered && !d.stored {
				lost = append(lost, d)
			}
			d.drop()
		}
	}
	s.mu.Unlock()
	for _, d := range lost {
		d.observe(Closed)
	}
	limit, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	for _, d := range unsettled {
		d.awaitStored(limit)
	}
}

// awaitStored waits until the archive has the download, or does not keep it, as long as ctx
// allows. Then it drops it. The process may end then, so it observes if the download still
// comes, or is lost.
func (d *Download) awaitStored(ctx context.Context) {
	if d.spilled != nil {
		select {
		case <-d.spilled:
		case <-ctx.Done():
		}
	}
	d.store.mu.Lock()
	var e Event
	switch {
	case d.stored:
	case d.state == waiting || d.state == coming:
		e = Underway
	case d.kept && !d.delivered:
		e = Closed
	}
	if d.kept {
		d.drop()
	}
	d.store.mu.Unlock()
	if e != 0 {
		d.observe(e)
	}
}

// reserve reserves n more bytes for d. It returns false if there are not so many.
func (s *Store) reserve(d *Download, n int64) bool {
	limit := cmp.Or(s.Limit, defaultLimit)
	s.evict(s.used + n - min(limit, storedLimit))
	if (s.closed && d.archive == nil) || n > limit || !s.makeRoom(d, s.used-s.loaded+n-limit) {
		return false
	}
	s.take(d, n)
	return true
}

// take reserves n more bytes for d, even if there are not so many.
func (s *Store) take(d *Download, n int64) {
	d.size += n
	s.changed(0, n)
}

// makeRoom drops downloads other than except that were delivered, the oldest first, until n
// bytes are free. If they would not suffice, it drops none.
func (s *Store) makeRoom(except *Download, n int64) bool {
	if n <= 0 {
		return true
	}
	var spare []*Download
	var size int64
	for _, d := range s.downloads {
		if d != except && d.delivered && d.clients == 0 {
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
		s.recycle(spare[0])
		spare[0].drop()
	}
	return true
}

// recycle keeps the memory of d, which is dropped, for new pieces. New memory would cost a
// page fault every 4 KiB.
func (s *Store) recycle(d *Download) {
	if d.exposed || d.spilling() {
		return
	}
	for _, p := range d.pieces {
		if cap(p.data) == PieceSize {
			s.spare = append(s.spare, p.data[:0])
		}
	}
}

// evict drops the memory of pieces that the archive has too, until n bytes are free, if
// there are so many.
func (s *Store) evict(n int64) {
	for _, d := range s.downloads {
		if n <= 0 {
			return
		}
		n -= d.evict(n)
	}
}

// newPiece returns memory for a piece of size bytes, which are reserved. Memory to be used
// again becomes less with each piece, so that all stays within the limit.
func (s *Store) newPiece(size int64) []byte {
	var data []byte
	if last := len(s.spare) - 1; last >= 0 {
		data, s.spare = s.spare[last], s.spare[:last]
	}
	if size != PieceSize || data == nil {
		return make([]byte, 0, size)
	}
	return data
}

// startLoad waits until a piece may be loaded from the archive, as long as ctx allows. end must
// be called when the piece counts.
func (s *Store) startLoad(ctx context.Context) (end func(), err error) {
	s.mu.Lock()
	if s.loads == nil {
		s.loads = make(chan struct{}, maxLoads)
	}
	loads := s.loads
	s.mu.Unlock()
	select {
	case loads <- struct{}{}:
		return func() { <-loads }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// load says that transfers have loaded n more bytes from the archive. They do not count
// towards Limit, so that they keep no download out.
func (s *Store) load(n int) {
	s.loaded += int64(n)
	s.changed(0, int64(n))
}

// changed reports a change of the number of downloads, and of bytes.
func (s *Store) changed(downloads int, bytes int64) {
	s.used += bytes
	if s.Changed != nil {
		s.Changed(downloads, bytes)
	}
}
