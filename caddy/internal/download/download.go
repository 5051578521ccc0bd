package download

import (
	"cmp"
	"context"
	"net/http"
	"time"
)

// A state says how far the response of a download has come.
type state int

const (
	waiting state = iota // for the header
	coming               // the header is there, and the content comes
	whole
	broken // clients cannot follow it, or its content broke off
)

// A Download is a response that was received, or is to be received.
type Download struct {
	store   *Store
	key     Key
	options Options
	begun   chan struct{} // closed when the state is not waiting any more

	// These are what clients get. They do not change once begun is closed, but for
	// meta.Length and meta.Trailer, which come with the state whole.
	meta     Meta
	expected int64 // length of the content, in bytes; -1 if it is not known yet

	wait time.Duration // how long the client may yet wait for the archive; only its goroutine uses it

	// All that follows is guarded by store.mu.

	state   state
	passing bool          // the content is not kept: what one of the clients has got is dropped
	pieces  []piece       // in order
	length  int64         // of the content so far, in bytes
	changed chan struct{} // closed at the next change; nil if nobody waits
	exposed bool          // HTTP/2 may still read the pieces for a client that has left
	size    int64         // memory reserved, in bytes
	ahead   int64         // the part of it that has no pieces yet

	archive Archive       // keeps the download too; nil if it does not, or has failed
	source  source        // has the pieces that the archive keeps; nil if there is none
	put     int           // number of pieces that source has
	putAt   time.Time     // when it got the last one, or was there
	arrived bool          // all of the content has come
	stored  bool          // the archive has the whole download
	slow    bool          // the content does not wait for the archive any more
	spilled chan struct{} // closed when the archive has it, or does not keep it; nil if nothing is put

	clients     int                    // claims that have not ended
	transfers   map[*transfer]struct{} // under way
	delivered   bool                   // the last transfer ended without an error
	interrupted bool                   // a transfer broke off while the content came

	cancel  context.CancelFunc // ends the request; nil before it begins
	alone   *time.Timer        // runs while the request goes on without a client; else nil
	moved   time.Time          // when the header, or the last byte came
	stopped Event              // why the request was cancelled; 0 if it was not

	kept   bool
	since  time.Time // when it was kept
	expiry *time.Timer
}

// newDownload returns a download with one client.
func newDownload(s *Store, key Key, options Options) *Download {
	return &Download{
		store: s, key: key, options: options, begun: make(chan struct{}), expected: -1,
		archive: options.Archive, clients: 1, transfers: make(map[*transfer]struct{}),
	}
}

// Length returns the length of the content that has come, in bytes.
func (d *Download) Length() int64 {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	return d.length
}

// Abandon settles a download of a first claim that was not fetched. The next claim is a
// first one again.
func (d *Download) Abandon() {
	d.fail()
	d.leave()
}

// observe tells the observer of e.
func (d *Download) observe(e Event) { d.options.Observer.Observe(d, e, nil) }

// underway reports whether the response is still coming.
func (d *Download) underway() bool {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	return d.state == waiting || d.state == coming
}

// join adds a client. The store is locked.
func (d *Download) join() {
	d.clients++
	d.accompanied()
}

// accompanied says that the request does not go on alone. The store is locked.
func (d *Download) accompanied() {
	if d.alone != nil {
		d.alone.Stop()
		d.alone = nil
		d.store.alone--
	}
}

// leave removes a client. The last one ends the request, or leaves it alone.
func (d *Download) leave() {
	s := d.store
	s.mu.Lock()
	d.clients--
	var stopped Event
	switch {
	case d.clients > 0:
	case d.state == whole || d.state == broken || d.cancel == nil:
		d.release()
	case d.passing:
		d.cancel()
	case s.alone >= maxAlone:
		stopped = d.stop(TooMany)
	default:
		s.alone++
		d.moved = time.Now()
		d.alone = time.AfterFunc(idle, d.look)
	}
	s.mu.Unlock()
	if stopped != 0 {
		d.observe(stopped)
	}
}

// look ends a request that goes on alone, if nothing comes any more. How long it may wait
// for the header is up to the request.
func (d *Download) look() {
	s := d.store
	s.mu.Lock()
	var stopped Event
	if d.alone != nil {
		left := idle - time.Since(d.moved)
		switch {
		case d.state == waiting:
			d.alone.Reset(idle)
		case left > 0:
			d.alone.Reset(left)
		default:
			stopped = d.stop(Idle)
		}
	}
	s.mu.Unlock()
	if stopped != 0 {
		d.observe(stopped)
	}
}

// stop cancels the request because of e, which it returns. The store is locked.
func (d *Download) stop(e Event) Event {
	d.stopped = e
	d.forget()
	d.cancel()
	return e
}

// begin says that the header has come, so that clients can follow.
func (d *Download) begin(meta Meta, expected int64) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.meta, d.expected = meta, expected
	d.state, d.moved = coming, time.Now()
	close(d.begun)
}

// settle says that nothing more comes. The state is whole or broken. The store is locked.
func (d *Download) settle(state state) {
	if d.state == waiting {
		close(d.begun)
	}
	d.state = state
	d.accompanied()
	d.wake()
}

// fail settles a download that has not come, or not as a whole.
func (d *Download) fail() {
	d.store.mu.Lock()
	lost := d.state == coming && !d.passing && d.stopped == 0
	d.settle(broken)
	d.forget()
	d.release()
	d.store.mu.Unlock()
	if lost {
		d.observe(Broken)
	}
}

// keep settles the download, whose trailer is trailer, as whole. It is kept if that is
// possible.
func (d *Download) keep(trailer http.Header) {
	d.arrive(trailer)
	if e := d.settleWhole(headerSize(trailer)); e != 0 {
		d.observe(e)
	}
}

// settleWhole is keep, with a trailer that takes up size bytes. It returns what is to be
// observed, or 0.
func (d *Download) settleWhole(size int64) Event {
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	d.settle(whole)
	closed := s.closed && !d.storing() // otherwise it is kept until it is stored
	var e Event
	switch {
	case d.passing:
	case closed:
		if !d.stored && d.clients == 0 && d.stopped == 0 && d.length > 0 {
			e = Closed
		}
	case size > maxHeader:
		e = LargeHeader
	case size > 0 && !s.reserve(d, size):
		e = NoRoom
	}
	if e != 0 || d.passing || closed || d.length == 0 || d.stopped != 0 {
		d.forget()
		d.release()
		return e
	}
	d.kept, d.since = true, time.Now()
	s.changed(1, 0)
	d.expiry = time.AfterFunc(cmp.Or(d.options.Keep, defaultKeep), d.expire)
	if d.interrupted {
		return Interrupted
	}
	return 0
}

// expire drops the download when its time is over.
func (d *Download) expire() {
	d.store.mu.Lock()
	lost := d.kept && !d.delivered && d.clients == 0
	if d.kept {
		d.drop()
	}
	d.store.spare = nil
	d.store.mu.Unlock()
	if lost {
		d.observe(Expired)
	}
}

// drop removes a download that is kept. Transfers of it that are under way continue. The
// store is locked.
func (d *Download) drop() {
	d.expiry.Stop()
	d.forget()
	d.kept = false
	d.store.changed(-1, 0)
	d.release()
}

// forget makes the next claim a first one. The store is locked.
func (d *Download) forget() {
	if d.store.downloads[d.key] == d {
		delete(d.store.downloads, d.key)
	}
}

// release gives back the memory of a download that is not kept, if it has no clients. The
// store is locked.
func (d *Download) release() {
	if d.kept || d.clients > 0 {
		return
	}
	d.pieces = nil
	d.store.take(d, -d.size)
	d.ahead = 0
}
