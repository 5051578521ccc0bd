package download

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
)

// statusClientClosedRequest is the status for the access log if the client has left, as
// in Caddy.
const statusClientClosedRequest = 499

// An Outcome says how a transfer to a client has ended.
type Outcome int

const (
	Delivered   Outcome = iota // everything was written
	Interrupted                // it broke off, and the download is kept
	Lost                       // it broke off, and the download is not kept any more
)

// Serve transfers the download, which was claimed or recorded, to the client. It calls
// ended when the transfer has ended. If the transfer breaks off, Serve panics with
// http.ErrAbortHandler, as httputil.ReverseProxy does.
func (d *Download) Serve(w http.ResponseWriter, r *http.Request, ended func(Outcome)) {
	delivered := false
	defer func() {
		switch kept := d.done(delivered); {
		case delivered:
			ended(Delivered)
		case kept:
			ended(Interrupted)
		default:
			ended(Lost)
		}
	}()
	if r.Context().Err() != nil {
		w.WriteHeader(statusClientClosedRequest)
		return
	}
	header := w.Header()
	delete(header, "Server") // as Caddy's reverse proxy does
	for name, values := range d.header {
		header[name] = slices.Clone(values)
	}
	header.Set("Content-Length", strconv.FormatInt(d.length, 10))
	w.WriteHeader(d.status)
	present := true
	for _, chunk := range d.body {
		// A client that has the last chunk is free to leave.
		present = r.Context().Err() == nil
		if _, err := w.Write(chunk); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	err := http.NewResponseController(w).Flush() //nolint:bodyclose // there is none
	delivered = present && (err == nil || errors.Is(err, http.ErrNotSupported))
}
