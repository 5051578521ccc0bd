package caddyesign_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// orders is an upstream that gives each document once. It can be stopped at any stage
// of a response.
type orders struct {
	mu    sync.Mutex
	taken map[string]bool

	size    int              // of a document, in bytes
	chunked bool             // without Content-Length
	stage   string           // the stage to stop at: "header", "start", "middle", "end", or "" for none
	reached chan struct{}    // receives when it has stopped
	goOn    chan struct{}    // makes it continue
	aborted chan error       // receives why a call ended before its response was complete
	always  http.HandlerFunc // if not nil, handles all requests
}

// newOrders returns an upstream whose documents have size bytes.
func newOrders(size int) *orders {
	return &orders{
		taken: make(map[string]bool), size: size,
		reached: make(chan struct{}, 1), goOn: make(chan struct{}), aborted: make(chan error, 1),
	}
}

// document returns the document of an order.
func (o *orders) document(signID string) []byte {
	return bytes.Repeat([]byte(signID+"."), o.size/(len(signID)+1)+1)[:o.size]
}

// stop waits if stage is the stage to stop at. It returns false if the call was
// cancelled meanwhile.
func (o *orders) stop(r *http.Request, stage string) bool {
	o.mu.Lock()
	here := o.stage == stage
	o.mu.Unlock()
	if !here {
		return true
	}
	o.reached <- struct{}{}
	select {
	case <-o.goOn:
		return true
	case <-r.Context().Done():
		o.aborted <- context.Cause(r.Context())
		return false
	}
}

// respondWith makes h respond to all requests.
func (o *orders) respondWith(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.always = h
}

// stopAt sets the stage to stop at.
func (o *orders) stopAt(stage string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stage = stage
}

// ServeHTTP implements http.Handler.
func (o *orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signID := r.URL.Query().Get("sign_id")
	o.mu.Lock()
	taken, always := o.taken[signID], o.always
	if r.Method == http.MethodDelete {
		o.taken[signID] = true
	}
	o.mu.Unlock()
	if always != nil {
		always(w, r)
		return
	}
	if taken {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !o.stop(r, "header") {
		return
	}
	document := o.document(signID)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Order", signID)
	w.Header().Set("Cache-Control", "no-store")
	if !o.chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(document)))
	}
	w.WriteHeader(http.StatusOK)
	controller := http.NewResponseController(w)
	sent := 0
	for _, part := range []struct {
		stage string
		until int
	}{{"start", 0}, {"middle", len(document) / 2}, {"end", len(document) - 1}} {
		if n, err := w.Write(document[sent:part.until]); err != nil || n != part.until-sent {
			return
		}
		sent = part.until
		if err := controller.Flush(); err != nil || !o.stop(r, part.stage) {
			return
		}
	}
	_, _ = w.Write(document[sent:])
}

// serving makes o the fixture's upstream.
func (f *fixture) serving(o *orders) *orders {
	f.upstream.handle(o.ServeHTTP)
	return o
}

// deletes returns the number of downloads that the upstream saw since the last call of
// deletes.
func (f *fixture) deletes() int {
	n := 0
	for _, call := range f.upstream.seen() {
		if call.Method == http.MethodDelete {
			n++
		}
	}
	return n
}

// A leaver is a caller that can leave.
type leaver struct {
	transport *http.Transport
	leave     context.CancelFunc
	response  chan *http.Response // closed if there is no response
}

// newLeaver starts a request to the gateway.
func (f *fixture) newLeaver(protocol, method, path, body string, header ...string) *leaver {
	f.t.Helper()
	ctx, leave := context.WithCancel(f.t.Context())
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	l := &leaver{leave: leave, response: make(chan *http.Response, 1), transport: &http.Transport{Protocols: new(http.Protocols)}}
	l.transport.Protocols.SetHTTP1(protocol == "h1")
	l.transport.Protocols.SetUnencryptedHTTP2(protocol == "h2c")
	f.t.Cleanup(func() {
		leave()
		l.transport.CloseIdleConnections()
	})
	go func() {
		defer close(l.response)
		res, err := send(l.transport, req) //nolint:bodyclose // the receiver closes it
		if err == nil {
			l.response <- res
		}
	}()
	return l
}

// download is the request target of the calls whose callers leave.
func download(signID string) string { return "/v1/signdoc/pades?sign_id=" + signID }

// orderHash returns the name of an order in the log.
func orderHash(signID string) string {
	sum := sha256.Sum256([]byte(signID))
	return hex.EncodeToString(sum[:8])
}

// noticed waits until the log has the message about the order n times.
func (f *fixture) noticed(message, signID string, n int) {
	f.t.Helper()
	eventually(f.t, func() bool { return len(f.downloadLog(message, signID)) == n })
}

// downloadLog returns the lines of the log that have the message about an order.
func (f *fixture) downloadLog(message, signID string) []string {
	f.t.Helper()
	var lines []string
	for line := range strings.Lines(f.logged()) {
		var entry struct{ Msg, Order string }
		if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Msg, message) && entry.Order == orderHash(signID) {
			lines = append(lines, line)
		}
	}
	return lines
}

// These are the log messages about a download.
const (
	goesOn     = "download goes on"
	isKept     = "download kept"
	handedOver = "download handed over"
)

// startH2C is start with a server that also accepts HTTP/2 without TLS.
func (f *fixture) startH2C(site string) {
	f.t.Helper()
	config := strings.Replace(f.caddyfile(site), "log_credentials", "log_credentials\nprotocols h1 h2c", 1)
	f.load(adapt(f.t, config))
}

// servesAgain asserts that the next download returns the whole document, and that the
// upstream saw only one download in total.
func (f *fixture) servesAgain(o *orders, signID string, header ...string) {
	f.t.Helper()
	response := f.do("DELETE", download(signID), "", header...).is(200)
	if !bytes.Equal(response.body, o.document(signID)) {
		f.t.Errorf("the next download brought %d bytes, want the document of %d", len(response.body), o.size)
	}
	if response.Header.Get("Content-Type") != "application/json" || response.Header.Get("X-Order") != signID ||
		response.Header.Get("Cache-Control") != "no-store" || response.ContentLength != int64(o.size) {
		f.t.Errorf("the next download has the header %v", response.Header)
	}
	if n := f.deletes(); n != 1 {
		f.t.Errorf("upstream saw %d downloads, want 1", n)
	}
}

// oneAPISite returns oneAPI with the fixture's upstream.
func oneAPISite(f *fixture) string { return strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1) }
