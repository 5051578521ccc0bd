package download

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"
)

const (
	// firstPiece is the size, in bytes, of the first piece of content whose length is not
	// known. It is doubled when it is full, up to PieceSize, so that a small download takes up
	// little memory.
	firstPiece = 16 << 10

	// maxUnstored is how many pieces of a download wait for the archive if all downloads
	// take up more than storedLimit.
	maxUnstored = 2

	// passedPiece is the size, in bytes, of the pieces of content that is not kept.
	passedPiece = 256 << 10
)

// A piece is a part of the content.
type piece struct {
	start int64  // of the part, in bytes
	n     int64  // length of the part that has come, in bytes
	data  []byte // the part that has come; its capacity is the size of the piece; nil if only the archive has it
}

// end returns where the part that has come ends, in bytes.
func (p piece) end() int64 { return p.start + p.n }

// full reports whether all of the part has come.
func (p piece) full() bool { return len(p.data) == cap(p.data) }

var (
	// errBroken is the error of a transfer if the content broke off.
	errBroken = errors.New("the content broke off")

	// errDropped is the error of a transfer if the content is not kept, and another client
	// was faster.
	errDropped = errors.New("the content is not there any more")
)

// write adds p to the content. If the content is not kept, write waits until a client has
// got what is there, as long as ctx allows. Only one goroutine writes.
func (d *Download) write(ctx context.Context, p []byte) (int, error) {
	written := 0
	for written < len(p) {
		room, changed, overflow := d.room()
		if overflow {
			d.observe(NoRoom)
		}
		if room == nil {
			if err := d.pause(ctx, changed); err != nil {
				return written, err
			}
			continue
		}
		n := copy(room, p[written:])
		d.grow(n)
		written += n
	}
	return written, nil
}

// pause waits until changed is closed, as long as ctx allows. If that is for the archive,
// and takes longer than pieceWait, the client may wait for that much less from then on. If
// that is used up, the archive is not waited for any more.
func (d *Download) pause(ctx context.Context, changed <-chan struct{}) error {
	start := time.Now()
	limit := time.NewTimer(max(d.wait, pieceWait))
	defer limit.Stop()
	for {
		select {
		case <-changed:
			d.paused(time.Since(start))
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
		}
		d.store.mu.Lock()
		passing := d.passing
		d.slow = !passing
		d.store.mu.Unlock()
		if !passing {
			d.wait = 0
			d.fails(errSlow)
			return nil
		}
	}
}

// paused says that the content has waited.
func (d *Download) paused(took time.Duration) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if !d.passing { // otherwise it was for a client
		d.wait = max(d.wait-max(took-pieceWait, 0), 0)
	}
}

// room returns the free part of the last piece. It adds a piece if the last one is full.
// If it must not add one, the result is nil, and changed is closed at the next change.
// overflow is whether the content has just turned out to be too large to be kept.
func (d *Download) room() (room []byte, changed <-chan struct{}, overflow bool) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if last := len(d.pieces) - 1; last < 0 || d.pieces[last].full() {
		if d.crowded() {
			return nil, d.nextChange(), false
		}
		if !d.passing && !d.addPiece() {
			if d.storing() && (time.Since(d.putAt) < storageWait || !d.followed()) { // otherwise it may be lost
				return nil, d.nextChange(), false
			}
			d.pass()
			overflow = !d.store.closed
		}
		if d.passing {
			// One piece is passed on, while another one comes.
			if len(d.pieces) > 1 {
				return nil, d.nextChange(), overflow
			}
			d.store.take(d, passedPiece)
			d.pieces = append(d.pieces, piece{start: d.length, data: make([]byte, 0, passedPiece)})
		}
	}
	data := d.pieces[len(d.pieces)-1].data
	return data[len(data):cap(data)], nil, overflow
}

// crowded reports whether the content must wait for the archive, so that memory stays
// small. The store is locked.
func (d *Download) crowded() bool {
	return d.spilling() && !d.slow && !d.passing && d.archive != nil &&
		d.store.used > storedLimit && len(d.pieces)-d.put >= maxUnstored
}

// followed reports whether a client can go on from memory. The store is locked.
func (d *Download) followed() bool {
	for t := range d.transfers {
		if !slices.ContainsFunc(d.pieces, func(p piece) bool { return p.data == nil && p.end() > t.pos }) {
			return true
		}
	}
	return false
}

// addPiece adds a piece, or makes a small first one larger. It returns false if there is
// not enough memory. The store is locked.
func (d *Download) addPiece() bool {
	s := d.store
	if d.ahead > 0 {
		size := min(d.ahead, PieceSize)
		d.ahead -= size
		d.pieces = append(d.pieces, piece{start: d.length, data: s.newPiece(size)})
		return true
	}
	if len(d.pieces) == 1 && d.expected < 0 && d.pieces[0].n < PieceSize {
		first := &d.pieces[0]
		if !s.reserve(d, first.n) {
			return false
		}
		first.data = append(s.newPiece(2*first.n), first.data...) // transfers may be reading the old memory
		return true
	}
	size := int64(PieceSize)
	switch {
	case d.expected >= 0:
		size = min(size, d.expected-d.length)
	case len(d.pieces) == 0:
		size = firstPiece
	}
	if !s.reserve(d, size) {
		return false
	}
	d.pieces = append(d.pieces, piece{start: d.length, data: s.newPiece(size)})
	return true
}

// grow says that n bytes were written into the last piece.
func (d *Download) grow(n int) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	last := &d.pieces[len(d.pieces)-1]
	last.data = last.data[:len(last.data)+n]
	last.n += int64(n)
	d.length += int64(n)
	if d.alone != nil {
		d.moved = time.Now()
	}
	d.wake()
}

// pass makes the content one that is not kept: what one of the clients has got is
// dropped, and further claims do not find it. The store is locked.
func (d *Download) pass() {
	d.passing = true
	d.forget()
	d.dropPassed()
	d.wake()
	if d.clients == 0 {
		d.cancel()
	}
}

// dropPassed drops the pieces that one of the clients has got. So the fastest client
// decides how fast the rest comes. The store is locked.
func (d *Download) dropPassed() {
	passed := int64(0)
	for t := range d.transfers {
		passed = max(passed, t.pos)
	}
	for len(d.pieces) > 0 && d.pieces[0].full() && (d.pieces[0].end() <= passed || d.pieces[0].data == nil) {
		d.store.take(d, -int64(cap(d.pieces[0].data)))
		d.pieces = d.pieces[1:]
	}
}

// next says that the client of t has got n more bytes, and returns the following ones. They
// must not be changed. They do not include the last byte of the content before all of it
// is there. If they have not come yet, the result is nil, and changed is closed at the
// next change. The error is io.EOF at the end, errBroken if the content broke off before,
// errDropped, or one of the archive.
func (d *Download) next(ctx context.Context, t *transfer, n int) (data []byte, changed <-chan struct{}, err error) {
	d.store.mu.Lock()
	t.borrows, t.asked = false, time.Now()
	if t.pos += int64(n); d.passing {
		d.dropPassed()
		d.wake()
	}
	i, n, err := d.at(t.pos)
	switch {
	case !t.patient || d.state == whole || d.passing:
	case d.state == broken:
		n, err = 0, errBroken
	default:
		n = 0
	}
	if err != nil || n == 0 {
		if err == nil {
			changed = d.nextChange()
		}
		d.store.mu.Unlock()
		return nil, changed, err
	}
	p, source := d.pieces[i], d.source
	if p.data == nil {
		d.store.mu.Unlock()
		data, err = t.load(ctx, source, i, p, n)
		if err != nil && ctx.Err() == nil && d.has(t.pos) { // memory has taken it back, and the archive has deleted it
			t.err = nil
			return d.next(ctx, t, 0)
		}
		return data, nil, err
	}
	defer d.store.mu.Unlock()
	data = p.data[t.pos-p.start:][:n]
	if source != nil && d.store.used > storedLimit {
		return t.copy(data), nil, nil
	}
	t.borrows = true
	return data, nil, nil
}

// at returns which piece has the bytes from pos on, and how many there are. There are none
// if they have not come yet. The error is that of next. The store is locked.
func (d *Download) at(pos int64) (i, n int, err error) {
	end := d.length
	if d.state != whole && end == d.expected {
		end--
	}
	switch {
	case pos < end:
	case d.state == whole:
		return 0, 0, io.EOF
	case d.state == broken:
		return 0, 0, errBroken
	default:
		return 0, 0, nil
	}
	i, found := slices.BinarySearchFunc(d.pieces, pos, func(p piece, pos int64) int {
		switch {
		case p.end() <= pos:
			return -1
		case p.start > pos:
			return 1
		}
		return 0
	})
	if !found || (d.pieces[i].data == nil && d.source == nil) {
		return 0, 0, errDropped
	}
	return i, int(min(d.pieces[i].end(), end) - pos), nil
}

// has reports whether memory has what comes at pos.
func (d *Download) has(pos int64) bool {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	i, n, err := d.at(pos)
	return err == nil && n > 0 && d.pieces[i].data != nil
}

// nextChange returns a channel that is closed at the next change. The store is locked.
func (d *Download) nextChange() <-chan struct{} {
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// wake wakes those that wait for a change. The store is locked.
func (d *Download) wake() {
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}
