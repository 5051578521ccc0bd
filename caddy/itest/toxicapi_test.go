package itest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// An arrival is a call that the API saw.
type arrival struct {
	target        string // method and request target
	authorization string
	proof         string
	read          int64 // bytes of its body, so far
	complete      bool  // the body was read to its end
	sum           [sha256.Size]byte
}

// A toxicAPI is an API that receives and sends documents, and records its calls.
type toxicAPI struct {
	*httptest.Server
	mu       sync.Mutex
	arrivals []*arrival
	progress func(read int64)    // called with the number of bytes read of a body
	pause    func(written int64) // called several times while a document is sent
}

// newToxicAPI starts a toxicAPI.
func newToxicAPI(t *testing.T) *toxicAPI {
	t.Helper()
	a := new(toxicAPI)
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

// ServeHTTP implements http.Handler. If the target of the call contains "document", the
// response is the document, with a Content-Length if the target contains "length".
// Otherwise it is "done".
func (a *toxicAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := &arrival{
		target:        r.Method + " " + r.RequestURI,
		authorization: r.Header.Get("Authorization"), proof: r.Header.Get("DPoP"),
	}
	a.mu.Lock()
	a.arrivals = append(a.arrivals, call)
	progress, pause := a.progress, a.pause
	a.mu.Unlock()
	hash := sha256.New()
	err := pump(hash, r.Body, func(n int64) {
		a.mu.Lock()
		call.read = n
		a.mu.Unlock()
		if progress != nil {
			progress(n)
		}
	})
	a.mu.Lock()
	call.complete, call.sum = err == nil, [sha256.Size]byte(hash.Sum(nil))
	a.mu.Unlock()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if !strings.Contains(r.RequestURI, "document") {
		_, _ = io.WriteString(w, "done")
		return
	}
	if strings.Contains(r.RequestURI, "length") {
		w.Header().Set("Content-Length", fmt.Sprint(documentSize))
	}
	_ = pump(w, document(), func(n int64) {
		if pause != nil {
			_ = http.NewResponseController(w).Flush()
			pause(n)
		}
	})
}

// hooks sets the functions that are called while the API reads and writes bodies.
func (a *toxicAPI) hooks(progress, pause func(int64)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.progress, a.pause = progress, pause
}

// seen returns the calls of target.
func (a *toxicAPI) seen(target string) []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	var seen []arrival
	for _, call := range a.arrivals {
		if call.target == target {
			seen = append(seen, *call)
		}
	}
	return seen
}
