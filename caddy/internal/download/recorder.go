package download

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// A Recorder is the http.ResponseWriter of a request for a download. It takes a
// successful response into memory, at the speed of the server, not of the client. The
// client gets the response when it is whole. A response that is not worth keeping, or
// does not fit, is passed on as it comes.
type Recorder struct {
	http.ResponseWriter // the client's

	download *Download
	detached *Detached

	before  http.Header // the header before the request
	header  http.Header // the header at the first WriteHeader
	status  int         // 0 before the first WriteHeader
	passing bool
	tooLong bool // the response does not fit
}

// NewRecorder returns a Recorder that stores the response in the download d of a first
// claim. End must be called when nothing more comes. If the response is passed on
// instead, the request ends with its client: detached is attached.
func NewRecorder(w http.ResponseWriter, d *Download, detached *Detached) *Recorder {
	return &Recorder{ResponseWriter: w, download: d, detached: detached, before: w.Header().Clone()}
}

// WriteHeader implements http.ResponseWriter.
func (r *Recorder) WriteHeader(status int) {
	if status < http.StatusOK { // the final status follows
		r.ResponseWriter.WriteHeader(status)
		return
	}
	if r.status != 0 {
		return
	}
	r.status, r.header = status, r.Header().Clone()
	// Any other status may say that the content is not there yet, or still there.
	if status != http.StatusOK {
		_ = r.pass()
		return
	}
	length, err := strconv.ParseInt(r.header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = 0 // not known yet
	}
	if !r.download.reserve(overhead) || !r.grow(length) {
		_ = r.overflow()
	}
}

// grow makes room for n more bytes. It returns false if there is not enough memory.
func (r *Recorder) grow(n int64) bool {
	if n > 0 && r.download.reserve(n) {
		r.download.body = append(r.download.body, make([]byte, 0, n))
		return true
	}
	return n <= 0
}

// Write implements http.ResponseWriter.
func (r *Recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	written := 0
	for !r.passing && written < len(p) {
		last := len(r.download.body) - 1
		if last < 0 || len(r.download.body[last]) == cap(r.download.body[last]) {
			if !r.grow(chunkSize) {
				if err := r.overflow(); err != nil {
					return written, err
				}
			}
			continue
		}
		chunk := r.download.body[last]
		n := copy(chunk[len(chunk):cap(chunk)], p[written:])
		r.download.body[last] = chunk[:len(chunk)+n]
		r.download.length += int64(n)
		written += n
	}
	if written == len(p) {
		return written, nil
	}
	n, err := r.ResponseWriter.Write(p[written:])
	return written + n, err
}

// overflow passes on a response that does not fit.
func (r *Recorder) overflow() error {
	r.tooLong = true
	return r.pass()
}

// pass stops recording. It passes on the part that has arrived, and everything
// that follows.
func (r *Recorder) pass() error {
	r.passing = true
	r.detached.Attach()
	clear(r.Header())
	maps.Copy(r.Header(), r.header)
	defer r.download.Abandon() // also if that panics
	r.ResponseWriter.WriteHeader(r.status)
	for _, chunk := range r.download.body {
		if _, err := r.ResponseWriter.Write(chunk); err != nil { //nolint:gosec // it is the server's response, which passes unchanged
			return err
		}
	}
	return nil
}

// TooLong reports whether the response was passed on because it does not fit.
func (r *Recorder) TooLong() bool { return r.tooLong }

// End says that nothing more comes. whole says whether the response is complete. End
// reports whether the download is kept now. In that case the client has got nothing of
// it yet, and Serve must be called.
func (r *Recorder) End(whole bool) (kept bool) {
	switch {
	case r.passing:
		return false
	case r.status == 0:
		r.download.Abandon()
		return false
	case !whole || r.download.length == 0:
		if r.pass() == nil {
			_ = r.FlushError()
		}
		return false
	}
	clear(r.Header())
	maps.Copy(r.Header(), r.before)
	// Fields that other handlers have set are removed: they set them again for each
	// request.
	maps.DeleteFunc(r.header, func(name string, values []string) bool {
		return name == "Trailer" || slices.Equal(values, r.before[name])
	})
	r.download.status, r.download.header = r.status, r.header
	r.download.keep()
	return true
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
