package sandbox

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// afflict makes a handler meet faults, the first of them first.
func (s *Server) afflict(handle http.HandlerFunc, faults []Fault) http.HandlerFunc {
	for _, fault := range slices.Backward(faults) {
		handle = s.effect(fault, handle)
	}
	return handle
}

// effect puts a fault around a handler.
func (s *Server) effect(f Fault, handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		serve := handle
		if f.Late {
			held := hold(w, r, handle)
			serve = func(w http.ResponseWriter, _ *http.Request) {
				s.date(held)
				held.send(w)
			}
		}
		switch f.Effect {
		case Delay:
			wait(r, f.Delay)
			s.date(w)
			serve(w, r)
		case Status:
			s.fail(w, r, f)
		case Hang:
			// Only at the body's end does net/http begin to see that the client
			// leaves.
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		case Reset:
			reset(w)
		case BrokenJSON:
			held := hold(w, r, handle)
			held.body.Truncate(held.body.Len() / 2)
			held.send(w)
		case RevokeTokens, MoveClock, RotateKey: // meet no request
		case DemandNonce:
			if s.demandNonce(w, r) {
				handle(w, r)
			}
		}
	}
}

// wait waits, unless the client leaves before.
func wait(r *http.Request, delay time.Duration) {
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// fail responds with a status.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, f Fault) {
	w.Header().Set("Cache-Control", "no-store")
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(f.RetryAfter/time.Second), 10))
	}
	if f.Code == "" {
		w.WriteHeader(f.Status)
		return
	}
	s.refuse(w, r, f.Status, f.Code, "SANDBOX: a fault on demand")
}

// refuse responds with an error in the form of the endpoint.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, code, description string) {
	switch path := r.URL.EscapedPath(); {
	case strings.HasPrefix(path, "/v0/b2b/"):
		(&b2bError{status, code, description}).respond(w)
	case path == s.tokenPath, strings.HasPrefix(path, "/csc/v2/oauth2/"):
		(&oauthError{status: status, code: code, description: description}).respond(w)
	case strings.HasPrefix(path, "/csc/v2/"):
		(&cscError{status, code, description}).respond(w)
	case path == "/v1/timestamp/token":
		timestampErrorCode(w, status, code, description)
	default: // SignDoc, and what is like it, has a plain string
		respondJSON(w, status, code)
	}
}

// reset breaks the connection off, such that the client gets a reset and not an
// orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2: net/http resets the stream
		panic(http.ErrAbortHandler)
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
	panic(http.ErrAbortHandler)
}

// A heldResponse holds a response back.
type heldResponse struct {
	writer http.ResponseWriter // that it will go to
	header http.Header
	status int // 0 as long as it is 200 by itself
	body   bytes.Buffer
}

// hold carries a request out.
func hold(w http.ResponseWriter, r *http.Request, handle http.HandlerFunc) *heldResponse {
	held := &heldResponse{writer: w, header: w.Header().Clone()}
	handle(held, r)
	return held
}

// send sends the response.
func (h *heldResponse) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), h.header)
	w.WriteHeader(cmp.Or(h.status, http.StatusOK))
	_, _ = w.Write(h.body.Bytes()) //nolint:gosec // html/template has escaped the page of CSC
}

func (h *heldResponse) Header() http.Header { return h.header }

func (h *heldResponse) WriteHeader(status int) { h.status = cmp.Or(h.status, status) }

func (h *heldResponse) Write(p []byte) (int, error) { return h.body.Write(p) }

// Unwrap lets a reset reach the connection.
func (h *heldResponse) Unwrap() http.ResponseWriter { return h.writer }
