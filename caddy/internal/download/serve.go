package download

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// statusClientClosedRequest is the status for the access log if the client has left, as
// in Caddy.
const statusClientClosedRequest = 499

// Serve transfers the download, which was claimed, to the client, while its content comes.
// If the transfer breaks off, Serve panics with http.ErrAbortHandler, as
// httputil.ReverseProxy does.
func (d *Download) Serve(w http.ResponseWriter, r *http.Request) {
	defer d.leave()
	t := d.newTransfer(r)
	if r.Context().Err() != nil {
		t.end(false)
		w.WriteHeader(statusClientClosedRequest)
		return
	}
	meta := d.response()
	header := w.Header()
	delete(header, "Server") // as Caddy's reverse proxy does
	maps.Copy(header, meta.Header)
	w.WriteHeader(meta.Status)
	if t.run(r.Context(), w) != nil {
		panic(http.ErrAbortHandler)
	}
	if t.delivered {
		d.observe(HandedOver)
	}
}

// response returns what is known of the response to a client besides its content. The
// caller owns the header.
func (d *Download) response() Meta {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	meta := d.meta
	meta.Header = meta.Header.Clone()
	// The length is known now, unless that keeps HTTP/1.1 from sending the trailer.
	if d.state == whole && len(meta.Trailer) == 0 {
		meta.Header.Set("Content-Length", strconv.FormatInt(d.length, 10))
		meta.Header.Del("Trailer")
	}
	return meta
}

// A transfer brings a download to one client.
type transfer struct {
	download  *Download
	pos       int64 // what the client has got, in bytes; guarded by the store's mu
	delivered bool  // everything was written without an error
	patient   bool  // nothing is written before the content is whole, or is not kept

	// These are guarded by the store's mu.
	borrows bool      // the client is getting a part of the download's memory
	asked   time.Time // when it asked for what follows

	start int64  // of data, in bytes
	data  []byte // a piece or a part of one, from the archive, or copied
	err   error  // why the archive did not return a piece; nil if it did, or if the client has left
}

// newTransfer returns a transfer from the start, to the client of r. Its end must be
// called.
func (d *Download) newTransfer(r *http.Request) *transfer {
	t := &transfer{download: d}
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	// Over HTTP/1.0, content without a length ends with the connection, whether it is
	// whole or broke off.
	t.patient = !r.ProtoAtLeast(1, 1) && d.expected < 0
	d.transfers[t] = struct{}{}
	return t
}

// run writes the content, and then the trailer, to w, after its header, while the client's
// context is ctx. The error says why the transfer broke off. In that case, w has what came
// before.
func (t *transfer) run(ctx context.Context, w http.ResponseWriter) error {
	defer func() { t.end(t.delivered) }() // also if a handler panics
	present, got := true, 0
	for {
		data, changed, err := t.download.next(ctx, t, got)
		got = 0
		switch {
		case data != nil:
			// A client that has the last byte is free to leave.
			present = ctx.Err() == nil
			if got, err = w.Write(data); err != nil { //nolint:gosec // it is the server's response, which passes unchanged
				return err
			}
		case changed != nil:
			if !t.patient {
				if err := flush(w); err != nil {
					return err
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		case err == io.EOF:
			for name, values := range t.download.meta.Trailer {
				w.Header()[http.TrailerPrefix+name] = values
			}
			err := flush(w)
			t.delivered = present && err == nil
			return err
		default:
			if !t.patient {
				_ = flush(w)
			}
			return err
		}
	}
}

// load returns what follows in p, which is piece i, from the archive: n bytes at most. It
// remembers the piece. If all transfers remember too much already, it remembers a part only,
// and the next one is loaded with the piece again: a client that stands still must not take
// up the memory of a piece.
func (t *transfer) load(ctx context.Context, from source, i int, p piece, n int) ([]byte, error) {
	if skip := t.pos - t.start; skip >= 0 && skip < int64(len(t.data)) {
		return t.data[skip:min(skip+int64(n), int64(len(t.data)))], nil
	}
	s := t.download.store
	end, err := s.startLoad(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	data, err := from.Piece(ctx, i)
	if err == nil && int64(len(data)) != p.n {
		err = errDropped
	}
	if err != nil {
		if ctx.Err() == nil {
			t.err = err
		}
		return nil, err
	}
	start, next := p.start, data[t.pos-p.start:][:n]
	s.mu.Lock()
	if s.loaded-int64(len(t.data))+p.n > loadedLimit {
		next = bytes.Clone(next[:min(n, loadedPart)])
		start, data = t.pos, next
	}
	s.load(len(data) - len(t.data))
	s.evict(s.used - storedLimit)
	s.mu.Unlock()
	t.start, t.data = start, data
	return next, nil
}

// copy returns a copy of the beginning of data, which comes next. A client that stands still must
// not keep a piece in memory that the archive has. The store is locked.
func (t *transfer) copy(data []byte) []byte {
	part := bytes.Clone(data[:min(len(data), loadedPart)])
	t.download.store.load(len(part) - len(t.data))
	t.start, t.data = t.pos, part
	return part
}

// flush flushes w, if it can be flushed.
func flush(w http.ResponseWriter) error {
	err := http.NewResponseController(w).Flush() //nolint:bodyclose // there is none
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// end ends the transfer. delivered is whether the client has got everything.
func (t *transfer) end(delivered bool) {
	d := t.download
	d.store.mu.Lock()
	delete(d.transfers, t)
	d.store.load(-len(t.data))
	t.data = nil
	d.delivered = delivered
	var e Event
	switch {
	case delivered:
	case d.state == coming:
		d.interrupted, d.exposed = true, true
	case d.kept, d.stored:
		d.exposed = true
		e = Interrupted
	case d.state == whole && d.since != (time.Time{}):
		e = Expired
	}
	if d.passing { // this client may have been the fastest
		d.wake()
	}
	d.store.mu.Unlock()
	if t.err != nil {
		e = Unreadable
	}
	if e != 0 {
		d.options.Observer.Observe(d, e, t.err)
	}
}
