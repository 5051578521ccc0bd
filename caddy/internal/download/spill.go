package download

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"time"
)

const (
	// storageWait is how long the client may wait for the archive in all, unless another
	// process downloads the same.
	storageWait = time.Second

	// lookWait is the part of storageWait for the look before the request. What the look does
	// not need is for the mark.
	lookWait = storageWait - manifestWait - 50*time.Millisecond

	// manifestWait is the part of storageWait that is left for the manifest.
	manifestWait = storageWait / 4

	// pieceWait is how long a storage that works may take for a piece. Only what it takes longer
	// is of storageWait.
	pieceWait = 250 * time.Millisecond

	// lookAgainWait is how long the look before a 404 is passed on may take. A caller that
	// gets a 404 gives its document up.
	lookAgainWait = 5 * time.Second
)

// The archive is tried again if it fails when memory does not have all of the download any
// more: otherwise the download would be lost. That takes some three seconds.
const (
	maxRetries = 5
	retryPause = 100 * time.Millisecond // doubled each time
)

// errSlow is the error if the archive does not keep a download in time.
var errSlow = errors.New("the storage is slow")

// A source has pieces. Entry and NewEntry are sources.
type source interface {
	Piece(ctx context.Context, n int) ([]byte, error)
}

// find looks for the download of a first claim in the archive. first is whether it is not
// there, so that it must be fetched. The error is that of ctx.
func (d *Download) find(ctx context.Context) (first bool, err error) {
	d.wait = storageWait
	archive := d.options.finds()
	if archive == nil {
		return true, nil
	}
	start := time.Now()
	entry, err := archive.Find(ctx, d.key, lookWait)
	d.wait = max(storageWait-time.Since(start), storageWait-lookWait)
	switch {
	case err == nil:
		d.adopt(entry)
		return false, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case !errors.Is(err, fs.ErrNotExist) && d.archive != nil:
		d.fails(err)
	}
	return true, nil
}

// finds returns the archive that may have the download already, or nil.
func (o *Options) finds() Archive {
	if o.Archive == nil {
		return o.Former
	}
	return o.Archive
}

// findAgain looks for the download once more, after the server has said that it does not
// have it: another process may have fetched it meanwhile. It returns nil if the archive does
// not have it either. The error is that of an archive that could not be asked.
func (d *Download) findAgain(ctx context.Context) (Entry, error) {
	archive := d.options.finds()
	if archive == nil {
		return nil, nil
	}
	entry, err := archive.Find(ctx, d.key, lookAgainWait)
	if err == nil {
		return entry, nil
	}
	if ctx.Err() != nil || errors.Is(err, fs.ErrNotExist) || d.options.Archive == nil {
		return nil, nil
	}
	d.fails(err)
	return nil, err
}

// adopt settles the download as one that the archive has. The store does not keep it, since
// the archive knows how long it is there.
func (d *Download) adopt(entry Entry) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.meta = entry.Meta()
	d.source, d.stored, d.length, d.expected = entry, true, d.meta.Length, d.meta.Length
	d.pieces = nil
	for start := int64(0); start < d.length; start += PieceSize {
		d.pieces = append(d.pieces, piece{start: start, n: min(PieceSize, d.length-start)})
	}
	d.settle(whole)
	d.forget()
}

// await waits, but not long, until others can see in the archive that this process makes the
// request. If they cannot, and the process ends, nobody can say what is lost.
func (d *Download) await(begun <-chan error) {
	start := time.Now()
	limit := time.NewTimer(d.wait - manifestWait)
	defer limit.Stop()
	var err error
	select {
	case err = <-begun:
	case <-limit.C:
		err = errSlow
		d.fails(err)
	}
	if err != nil {
		d.observe(Unmarked)
	}
	d.wait -= time.Since(start)
}

// spill puts the content into the archive while it comes. It sends nil to begun when others
// can see that, or else an error.
func (d *Download) spill(ctx context.Context, begun chan<- error) {
	defer func() {
		close(d.spilled)
		d.store.mu.Lock()
		defer d.store.mu.Unlock()
		d.wake()
	}()
	entry, err := d.options.Archive.Begin(ctx, d.key)
	if err != nil {
		d.unstored(err)
	}
	begun <- err
	if err != nil {
		return
	}
	for n := 0; ; n++ {
		data, ok := d.toPut(entry, n)
		if !ok {
			entry.Abandon()
			return
		}
		for attempt := 0; ; attempt++ {
			if data == nil {
				err = entry.Commit(ctx, d.meta)
			} else {
				err = entry.Put(ctx, n, data)
			}
			if err == nil || attempt == maxRetries || !d.evicted() {
				break
			}
			time.Sleep(retryPause << attempt)
		}
		if err != nil {
			d.takeBack(ctx, entry)
			entry.Abandon()
			d.unstored(err)
			return
		}
		if data == nil {
			d.committed()
			return
		}
	}
}

// takeBack loads the pieces that memory does not have any more, as long as that works: a storage
// that is full can be read.
func (d *Download) takeBack(ctx context.Context, from source) {
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	d.put, d.slow = 0, true // so that no piece is dropped again, and the content does not wait
	d.wake()
	for i := 0; i < len(d.pieces); i++ {
		p := d.pieces[i]
		if p.data != nil {
			continue
		}
		if d.passing || d.state == broken || (d.state == whole && !d.kept) || !s.reserve(d, p.n) {
			return
		}
		s.mu.Unlock()
		data, err := from.Piece(ctx, i)
		s.mu.Lock()
		switch {
		case d.pieces == nil: // it was released meanwhile
			return
		case err != nil, int64(len(data)) != p.n, d.passing:
			s.take(d, -p.n)
			return
		}
		d.pieces[i].data = append(s.newPiece(p.n), data...)
	}
}

// toPut says that the entry has n pieces, and waits for the next one. It returns nil if
// there is none, and ok is false if the download is not kept.
func (d *Download) toPut(entry NewEntry, n int) (data []byte, ok bool) {
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if !d.stored {
		d.source, d.put, d.putAt = entry, n, time.Now()
		d.wake()
	}
	for {
		switch {
		case d.stored || d.passing || d.state == broken || (d.state == whole && !d.kept):
			if !d.stored {
				d.source = nil
			}
			return nil, false
		case n < len(d.pieces) && (d.arrived || d.pieces[n].n == PieceSize):
			return d.pieces[n].data, true
		case d.arrived && d.length > 0:
			return nil, true
		case d.arrived: // nothing is not kept
			return nil, false
		}
		changed := d.nextChange()
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
	}
}

// spilling reports whether the content is being put into the archive. The store is locked.
func (d *Download) spilling() bool {
	if d.spilled == nil {
		return false
	}
	select {
	case <-d.spilled:
		return false
	default:
		return true
	}
}

// storing reports whether the archive may yet come to have the download. The store is locked.
func (d *Download) storing() bool { return d.archive != nil && !d.stored && d.spilling() }

// committed says that the archive has the whole download.
func (d *Download) committed() {
	d.store.mu.Lock()
	d.stored = true
	again := d.store.unstored
	d.store.unstored = false
	d.store.mu.Unlock()
	if again {
		d.observe(Stored)
	}
}

// fails says that the archive has failed to do something in time because of err. It may yet
// come to keep the download.
func (d *Download) fails(err error) {
	s := d.store
	s.mu.Lock()
	first := !s.unstored
	s.unstored = true
	s.mu.Unlock()
	if first {
		d.options.Observer.Observe(d, Unstored, err)
	}
}

// unstored says that the archive does not keep the download because of err. If memory does
// not have all of it any more, it is not kept.
func (d *Download) unstored(err error) {
	d.fails(err)
	s := d.store
	s.mu.Lock()
	lost := false
	if !d.stored {
		d.archive, d.source = nil, nil
		switch {
		case !d.lacks() || d.passing:
		case d.kept:
			lost = !d.delivered
			d.drop()
		case d.state == coming:
			lost = true
			d.pass()
		}
	}
	s.mu.Unlock()
	if lost {
		d.observe(Lost)
	}
}

// evicted reports whether memory does not have all of the content any more.
func (d *Download) evicted() bool {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	return d.lacks()
}

// lacks is evicted if the store is locked.
func (d *Download) lacks() bool {
	return slices.ContainsFunc(d.pieces, func(p piece) bool { return p.data == nil })
}

// evict drops the memory of pieces that the archive has, until n bytes are free. It returns
// how many are. A transfer loads the pieces from the archive. The store is locked.
func (d *Download) evict(n int64) int64 {
	if d.source == nil || d.passing {
		return 0
	}
	free := int64(0)
	for i := range d.pieces[:min(d.put, len(d.pieces))] {
		p := &d.pieces[i]
		if free >= n || p.data == nil || d.read(*p) {
			continue
		}
		size := int64(cap(p.data))
		if size == PieceSize && !d.exposed {
			d.store.spare = append(d.store.spare, p.data[:0])
		}
		p.data = nil
		d.store.take(d, -size)
		free += size
	}
	return free
}

// read reports whether a client is reading p at present, and does not stand still with a copy. The
// store is locked.
func (d *Download) read(p piece) bool {
	for t := range d.transfers {
		if p.start <= t.pos && t.pos < p.end() && (t.borrows || time.Since(t.asked) < stallTime) {
			return true
		}
	}
	return false
}

// arrive says that all of the content has come, and then trailer. It waits until the
// archive has the download, but not long.
func (d *Download) arrive(trailer http.Header) {
	s := d.store
	s.mu.Lock()
	d.meta.Trailer, d.meta.Length = trailer, d.length
	d.arrived = headerSize(trailer) <= maxHeader && d.stopped == 0
	waits := d.arrived && d.spilled != nil && !d.passing
	d.wake()
	s.mu.Unlock()
	if !waits {
		return
	}
	limit := time.NewTimer(d.wait)
	defer limit.Stop()
	select {
	case <-d.spilled:
	case <-limit.C:
		d.fails(errSlow)
	}
}
