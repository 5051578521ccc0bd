package archive

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// An entry is a whole download.
type entry struct {
	aead  cipher.AEAD
	lease *lease
}

// Meta implements download.Entry.
func (e *entry) Meta() download.Meta { return e.lease.content.Meta }

// Piece implements download.Entry.
func (e *entry) Piece(ctx context.Context, n int) ([]byte, error) {
	start, length := int64(n)*download.PieceSize, e.Meta().Length
	if n < 0 || start >= length {
		return nil, fs.ErrNotExist
	}
	l := e.lease
	l.extend(ctx)
	piece, err := l.archive.loadPiece(ctx, e.aead, pieceKey(l.name, l.id, n), n)
	if err == nil && int64(len(piece)) != min(download.PieceSize, length-start) {
		return nil, errChanged
	}
	return piece, err
}

// pieceAAD is the associated data of piece n. The key of the pieces belongs to one
// download, and the manifest says how many there are.
func pieceAAD(n int) []byte { return binary.BigEndian.AppendUint64([]byte("piece "), uint64(n)) } //nolint:gosec // it is not negative

// loadPiece returns a piece.
func (a *Archive) loadPiece(ctx context.Context, aead cipher.AEAD, key string, n int) ([]byte, error) {
	sealed, err := a.loadIn(ctx, a.transfers, key)
	if err != nil {
		return nil, err
	}
	if len(sealed) > download.PieceSize+aead.Overhead() {
		return nil, errChanged
	}
	piece, err := aead.Open(nil, nil, sealed, pieceAAD(n))
	if err != nil {
		return nil, errChanged
	}
	return piece, nil
}

// A newEntry is a download that is being written.
type newEntry struct {
	archive *Archive
	sealer  *sealer
	key     download.Key
	name    string
	id      id
	loss    Loss // in the mark
	secret  []byte
	aead    cipher.AEAD

	ctx context.Context // ends with the writing
	end context.CancelFunc

	// These belong to the caller of Put, Commit and Abandon.
	put    int    // pieces so far
	unsure ticket // of a manifest that the storage may have, although Commit failed; zero if there is none

	mu     sync.Mutex
	marked time.Time     // when the mark was written last
	absent bool          // whether the mark was not written for so long that others may have deleted pieces
	alone  time.Time     // from then on, a mark of another process would have been seen; zero if one was seen, or may come at any time
	yields bool          // whether the mark is left to other processes
	lease  *lease        // once it is whole
	idle   chan struct{} // closed when the mark is not written any more
}

// newEntry returns an entry that is not begun.
func (a *Archive) newEntry(s *sealer, key download.Key, loss Loss) (*newEntry, error) {
	secret := make([]byte, keySize)
	_, _ = rand.Read(secret) // it never fails
	aead, err := newAEAD(secret)
	if err != nil {
		return nil, err
	}
	e := &newEntry{
		archive: a, sealer: s, key: key, name: s.name(key), id: newID(),
		loss: loss, secret: secret, aead: aead, idle: make(chan struct{}),
	}
	e.ctx, e.end = context.WithCancel(a.closed)
	return e, nil
}

// mark writes the mark.
func (e *newEntry) mark(ctx context.Context) error {
	value, err := e.sealer.sealMark(e.name, e.id, e.loss)
	if err != nil {
		return err
	}
	if err := e.archive.store(ctx, markKey(e.name), value); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.absent = e.absent || e.overdue()
	e.marked = time.Now()
	return nil
}

// overdue reports whether the mark was not written for so long that others may have deleted
// pieces. The entry is locked.
func (e *newEntry) overdue() bool {
	return !e.marked.IsZero() && time.Since(e.marked) > leftoverTime/2
}

// begin makes the mark be written again and again. looked is when this process looked for
// other marks, and saw none; it is zero if it did not look.
//
// Another process may have written its mark after that, and this process may have replaced
// it. Processes look at their marks again and again, and write them if they were replaced.
// So the other mark comes back at the first look after this process has written.
func (e *newEntry) begin(looked time.Time) {
	begun := time.Now()
	if window := begun.Sub(looked); window < refreshTime {
		look := firstLook
		for look < window {
			look *= 2
		}
		e.alone = begun.Add(min(look, refreshTime) + window + lookMargin)
	}
	a := e.archive
	a.mu.Lock()
	a.writing[e.name] = e
	a.mu.Unlock()
	go func() {
		defer close(e.idle)
		for {
			timer := time.NewTimer(min(max(time.Since(begun), firstLook), refreshTime))
			select {
			case <-timer.C:
				e.refresh()
			case <-e.ctx.Done():
				timer.Stop()
				return
			}
		}
	}()
}

// refresh looks at the mark, and writes it if it is old, or if another process has replaced
// it.
func (e *newEntry) refresh() {
	value, err := e.archive.load(e.ctx, markKey(e.name))
	i, ok := idOf(value)
	others := err == nil && ok && i != e.id
	e.mu.Lock()
	if others {
		e.alone = time.Time{}
	}
	due := !e.yields && (others || errors.Is(err, fs.ErrNotExist) || time.Since(e.marked) >= refreshTime)
	e.mu.Unlock()
	if due {
		_ = e.mark(e.ctx) // Commit looks whether it was written
	}
}

// writer returns the entry that this process writes for the download called name, or nil.
func (a *Archive) writer(name string) *newEntry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.writing[name]
}

// yield leaves the mark to other processes: the call of this one has failed, and from begun
// on, it asks whether another one makes the same call. It returns for how long the mark of
// another one may yet come.
func (e *newEntry) yield(ctx context.Context, begun time.Time) time.Duration {
	e.mu.Lock()
	first := !e.yields
	e.yields = true
	alone := e.alone
	e.mu.Unlock()
	if first { // so that nobody waits for this process
		_ = e.archive.delete(ctx, markKey(e.name))
	}
	if alone.IsZero() {
		alone = begun.Add(refreshTime + pollTime)
	}
	return max(time.Until(alone), 0)
}

// stop ends the writing of the mark.
func (e *newEntry) stop() {
	e.end()
	a := e.archive
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.writing[e.name] == e {
		delete(a.writing, e.name)
	}
}

// Put implements download.NewEntry.
func (e *newEntry) Put(ctx context.Context, n int, piece []byte) error {
	e.put = max(e.put, n+1)
	return e.archive.storeIn(ctx, e.archive.transfers, pieceKey(e.name, e.id, n), e.aead.Seal(nil, nil, piece, pieceAAD(n))) //nolint:gosec // it makes its own nonce
}

// Piece implements download.NewEntry.
func (e *newEntry) Piece(ctx context.Context, n int) ([]byte, error) {
	e.mu.Lock()
	l := e.lease
	e.mu.Unlock()
	if l != nil {
		l.extend(ctx)
	}
	return e.archive.loadPiece(ctx, e.aead, pieceKey(e.name, e.id, n), n)
}

// errForgotten is the error if others may take this process for dead.
var errForgotten = errors.New("the mark of the download could not be written for too long")

// Commit implements download.NewEntry.
func (e *newEntry) Commit(ctx context.Context, meta download.Meta) error {
	e.mu.Lock()
	forgotten := e.absent || e.overdue()
	e.mu.Unlock()
	if forgotten {
		return errForgotten
	}
	a := e.archive
	until := time.Now().Add(a.settings().Keep).UnixMilli()
	t, c := ticket{e.id, until, uint32(e.put)}, content{e.secret, until, meta} //nolint:gosec // it is not that many
	manifest, err := e.sealer.sealManifest(e.key, t, c)
	if err != nil {
		return err
	}
	if err := a.store(ctx, manifestKey(e.name), manifest); err != nil {
		e.unsure = t // the response may be lost, or late
		return err
	}
	e.mu.Lock()
	e.lease = &lease{archive: a, sealer: e.sealer, key: e.key, name: e.name, id: e.id, ticket: t, content: c}
	e.mu.Unlock()
	e.stop()
	a.note(e.name, t)
	go func() {
		<-e.idle
		e.unmark()
	}()
	return nil
}

// Abandon implements download.NewEntry.
func (e *newEntry) Abandon() {
	e.stop()
	go func() {
		<-e.idle
		e.unmark()
		if e.unsure != (ticket{}) { // the sweep deletes it when its time is over
			e.archive.note(e.name, e.unsure)
			return
		}
		ctx := e.archive.closed
		_ = e.archive.deletePieces(ctx, e.name, ticket{ID: e.id, Pieces: uint32(e.put)}) //nolint:gosec // it is not that many; the sweep deletes what is left
	}()
}

// unmark deletes the mark. If that fails, the sweep tries again.
func (e *newEntry) unmark() {
	a := e.archive
	if a.unmark(a.closed, e.name, e.id) != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ended[e.id] = e.name
	}
}

// unmark deletes the mark of the download called name, unless it is that of another process.
func (a *Archive) unmark(ctx context.Context, name string, own id) error {
	value, err := a.load(ctx, markKey(name))
	if err == nil {
		if i, ok := idOf(value); ok && i == own {
			return a.delete(ctx, markKey(name))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// hasEnded reports whether a mark is one of this process that could not be deleted.
func (a *Archive) hasEnded(m mark) bool {
	i, ok := idOf(m.value)
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ended := a.ended[i]
	return ok && ended
}

// Interface guards
var (
	_ download.Entry    = (*entry)(nil)
	_ download.NewEntry = (*newEntry)(nil)
)
