package download

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxHeader is the size, in bytes, of the largest header, and of the largest trailer, that
// is kept.
const maxHeader = 64 << 10

// A Recorder is the http.ResponseWriter of the request for a download. It takes a
// successful response into memory, at the speed of the server. Another goroutine
// transfers it to the client as it comes, so that the client cannot slow the server down.
// A response that is not worth keeping, or does not fit, is passed on as it comes, and the
// request then ends with its client.
type Recorder struct {
	http.ResponseWriter // the client's

	// Unfit returns why a response with the status 200 is not kept, and whether it is
	// not. It is called when the header comes. An Event of 0 is not observed. Default: it
	// is kept.
	Unfit func() (e Event, unfit bool)

	download *Download
	request  *http.Request // the client's
	client   context.Context
	ctx      context.Context // of the request
	leave    func()          // says once that the client has left
	stop     func() bool     // stops waiting for the client to leave

	before  http.Header // the client's header before the request
	header  http.Header // the header of the response, and then its trailer
	sent    http.Header // the header at the first WriteHeader
	status  int         // 0 before the first WriteHeader
	passing bool        // the response goes to the client directly
	adopted bool        // the client gets what the archive has instead of the response
	unasked error       // why the client gets nothing of the response; see Unasked

	transfer *transfer     // nil if there is none
	ended    chan struct{} // closed when the transfer has ended
	err      error         // why it broke off
	panicked any           // what a handler panicked with during the transfer
}

// Record returns a Recorder for the request of a first claim, whose client has made the
// request of. Its End must be called when nothing more comes.
func (d *Download) Record(w http.ResponseWriter, of *http.Request) *Recorder {
	client := of.Context()
	r := &Recorder{
		ResponseWriter: w, download: d, request: of, client: client,
		before: w.Header().Clone(), header: w.Header().Clone(),
	}
	if r.header == nil {
		r.header = make(http.Header)
	}
	d.store.mu.Lock()
	r.ctx, d.cancel = context.WithCancel(context.WithoutCancel(client))
	if d.archive != nil {
		d.spilled = make(chan struct{})
	}
	d.store.mu.Unlock()
	if d.spilled != nil {
		begun := make(chan error, 1)
		go d.spill(context.WithoutCancel(client), begun)
		d.await(begun)
	}
	r.leave = sync.OnceFunc(d.leave)
	r.stop = context.AfterFunc(client, r.left)
	return r
}

// left is called when the client leaves.
func (r *Recorder) left() {
	goesOn := r.download.underway()
	r.leave()
	if goesOn && r.ctx.Err() == nil {
		r.download.observe(GoesOn)
	}
}

// Context returns the context for the request. It has the values of the client's. It does
// not end when the client leaves, unless the response is passed on, or too many requests
// go on alone already. A request that goes on alone ends if no content comes for a minute.
func (r *Recorder) Context() context.Context { return r.ctx }

// Left returns why the client has left, or nil if it has not.
func (r *Recorder) Left() error { return r.client.Err() }

// Header implements http.ResponseWriter.
func (r *Recorder) Header() http.Header {
	if r.passing {
		return r.ResponseWriter.Header()
	}
	return r.header
}

// WriteHeader implements http.ResponseWriter.
func (r *Recorder) WriteHeader(status int) {
	if r.status != 0 || (status == http.StatusNotFound && r.askAgain()) {
		return
	}
	header := r.ResponseWriter.Header()
	clear(header)
	maps.Copy(header, r.header)
	if status < http.StatusOK { // the final status follows
		r.ResponseWriter.WriteHeader(status)
		return
	}
	r.status = status
	length, err := strconv.ParseInt(r.header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1 // not known yet
	}
	if e, unfit := r.unfit(length); unfit {
		r.pass()
		if e != 0 {
			r.download.observe(e)
		}
		r.ResponseWriter.WriteHeader(status)
		return
	}
	r.begin(length)
}

// unfit returns why the response is not kept, and whether it is not. If it is kept, there
// is room for its header, and for its content, which is length bytes long, or -1 if that
// is not known.
func (r *Recorder) unfit(length int64) (e Event, unfit bool) {
	// Any other status may say that the content is not there yet, or still there. Without
	// content, there is nothing to keep.
	if r.status != http.StatusOK || length == 0 {
		return 0, true
	}
	if r.Unfit != nil {
		if e, unfit := r.Unfit(); unfit {
			return e, true
		}
	}
	size := headerSize(r.header)
	if size > maxHeader {
		return LargeHeader, true
	}
	length = max(length, 0)
	d := r.download
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if d.archive != nil { // there is room as soon as pieces are stored
		length = 0
	}
	if !d.store.reserve(d, overhead+size+length) {
		if d.store.closed {
			return 0, true
		}
		return NoRoom, true
	}
	d.ahead = length
	return 0, false
}

// headerSize returns how much memory header takes up, in bytes.
func headerSize(header http.Header) int64 {
	n := 0
	for name, values := range header {
		n += len(name) + 64
		for _, value := range values {
			n += len(value) + 16
		}
	}
	return int64(n)
}

// begin starts the transfer to the client.
func (r *Recorder) begin(length int64) {
	r.sent = r.header.Clone()
	// Fields that other handlers have set are left out: they set them again for each
	// request.
	kept := r.header.Clone()
	maps.DeleteFunc(kept, func(name string, values []string) bool { return slices.Equal(values, r.before[name]) })
	r.download.begin(Meta{Status: r.status, Header: kept}, length)
	r.start()
}

// askAgain asks the archive for the download, which the server does not have: another process
// may have fetched it meanwhile. It reports whether the client gets something else than the
// response: what the archive has, or an error if the archive did not say whether it has it.
func (r *Recorder) askAgain() bool {
	d := r.download
	entry, err := d.findAgain(r.client)
	if entry == nil && err == nil {
		return false
	}
	header := r.ResponseWriter.Header()
	clear(header)
	maps.Copy(header, r.before)
	if err != nil {
		r.status, r.unasked = http.StatusNotFound, err
		return true
	}
	d.adopt(entry)
	meta := d.response()
	delete(header, "Server") // as Caddy's reverse proxy does
	maps.Copy(header, meta.Header)
	r.status, r.adopted = meta.Status, true
	r.start()
	return true
}

// Unasked returns the error of the archive if the server does not have the download, and the
// archive could not be asked for it. Then the client has got nothing: a client that gets a
// 404 gives the download up. It returns nil otherwise.
func (r *Recorder) Unasked() error { return r.unasked }

// start starts the transfer to the client, whose header is complete.
func (r *Recorder) start() {
	r.transfer = r.download.newTransfer(r.request)
	if r.client.Err() != nil {
		r.transfer.end(false)
		r.ResponseWriter.WriteHeader(statusClientClosedRequest)
		r.transfer = nil
		return
	}
	// Other handlers change the header now. That may need what belongs to this goroutine.
	r.ResponseWriter.WriteHeader(r.status)
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		defer func() { r.panicked = recover() }()
		if r.err = r.transfer.run(r.client, r.ResponseWriter); r.err != nil {
			r.leave()
		}
	}()
}

// pass makes the response go to the client directly.
func (r *Recorder) pass() {
	r.passing = true
	r.download.fail()
	r.stop()
	context.AfterFunc(r.client, r.download.cancel)
}

// Write implements http.ResponseWriter.
func (r *Recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.passing {
		return r.ResponseWriter.Write(p)
	}
	if r.adopted || r.unasked != nil {
		return len(p), nil
	}
	if d := r.download; d.expected >= 0 && int64(len(p)) > d.expected-d.length { // only this goroutine changes them
		return 0, http.ErrContentLength
	}
	return r.download.write(r.ctx, p)
}

// End says that nothing more comes. whole says whether the response is complete. End waits
// until the client has got what it can get. It returns false if the client has got only a
// part of the response, so that its transfer must be broken off.
func (r *Recorder) End(whole bool) (complete bool) {
	defer r.download.cancel()
	d := r.download
	switch {
	case r.passing:
		r.leave()
		return true
	case r.status == 0 || r.unasked != nil:
		r.stop()
		d.fail()
		r.leave()
		return true
	}
	switch {
	case r.adopted:
		whole = true
	case whole && (d.expected < 0 || d.length == d.expected):
		d.keep(r.trailer())
	default:
		whole = false
		d.fail()
	}
	if r.transfer != nil {
		<-r.ended
	}
	r.stop()
	r.leave()
	if r.panicked != nil {
		panic(r.panicked)
	}
	if r.adopted && r.transfer != nil && r.transfer.delivered {
		d.observe(HandedOver)
	}
	return r.transfer == nil || (whole && r.err == nil)
}

// trailer returns the fields that were set after the header: those that the field Trailer
// announces, and those that http.TrailerPrefix marks.
func (r *Recorder) trailer() http.Header {
	trailer := make(http.Header)
	for _, names := range r.sent["Trailer"] {
		for name := range strings.SplitSeq(names, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if before, values := len(r.sent[name]), r.header[name]; len(values) > before {
				trailer[name] = values[before:]
			}
		}
	}
	for name, values := range r.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			trailer[name] = values
		}
	}
	return trailer
}

// FlushError implements what http.ResponseController looks for.
func (r *Recorder) FlushError() error {
	if !r.passing {
		return nil
	}
	return http.NewResponseController(r.ResponseWriter).Flush() //nolint:bodyclose // there is none
}

// Unwrap implements what http.ResponseController looks for.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
