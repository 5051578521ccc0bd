package downloads

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A stage is a moment of a download.
type stage int

// The stages at which a caller leaves.
const (
	beforeHeader stage = iota
	inHeader
	inTheMiddle
	beforeLastByte
	after
)

func (s stage) String() string {
	return [...]string{"before the header", "in the header", "in the middle", "before the last byte", "after"}[s]
}

// A bank is an OpenID provider, and an API that gives each document once.
type bank struct {
	t      *testing.T
	server *httptest.Server
	size   int           // of a document, in bytes
	pace   time.Duration // after each part of 64 KiB

	mu    sync.Mutex
	calls map[string]int // downloads of an order
	sent  map[string]int // bytes of its document
	halts map[string]*halt
}

// A halt makes the download of an order stop at a stage.
type halt struct {
	stage   stage
	reached chan struct{} // closed when the stage is reached
	goOn    chan struct{} // closed to go on
}

// newBank starts a bank.
func newBank(t *testing.T, size int) *bank {
	b := &bank{t: t, size: size, calls: make(map[string]int), sent: make(map[string]int), halts: make(map[string]*halt)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realm/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": b.issuer(), "token_endpoint": b.issuer() + "/token"})
	})
	mux.HandleFunc("POST /realm/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"token","token_type":"Bearer","expires_in":300}`)
	})
	mux.HandleFunc("DELETE /v1/signdoc/pades", b.download)
	b.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		b.server.CloseClientConnections()
		b.server.Close()
	})
	return b
}

// issuer is the bank's issuer identifier.
func (b *bank) issuer() string { return b.server.URL + "/realm" }

// document returns the document of an order.
func (b *bank) document(order string) []byte {
	var seed [32]byte
	copy(seed[:], order)
	content := make([]byte, b.size)
	_, _ = rand.NewChaCha8(seed).Read(content)
	copy(content, plainText+order)
	return content
}

// plainText is how documents begin.
const plainText = "%PDF-1.7 of the order "

// halt makes the download of an order stop at a stage.
func (b *bank) halt(order string, s stage) *halt {
	h := &halt{stage: s, reached: make(chan struct{}), goOn: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.halts[order] = h
	return h
}

// count returns the number of downloads of an order that the bank saw.
func (b *bank) count(order string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[order]
}

// sentAll reports whether the bank has written all of an order's document.
func (b *bank) sentAll(order string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[order] == b.size
}

func (b *bank) download(w http.ResponseWriter, r *http.Request) {
	order := r.URL.Query().Get("sign_id")
	b.mu.Lock()
	b.calls[order]++
	first, h := b.calls[order] == 1, b.halts[order]
	b.mu.Unlock()
	if !first {
		http.NotFound(w, r)
		return
	}
	stop := func(s stage) {
		if h == nil || h.stage != s {
			return
		}
		_ = http.NewResponseController(w).Flush()
		close(h.reached)
		select {
		case <-h.goOn:
		case <-r.Context().Done():
		}
	}
	stop(beforeHeader)
	header := w.Header()
	header.Set("Content-Type", "application/pdf")
	header.Set("X-Order", order)
	header.Set("Content-Length", strconv.Itoa(b.size))
	content := b.document(order)
	sent := 0
	write := func(until int) {
		for sent < until && r.Context().Err() == nil {
			n, err := w.Write(content[sent:min(until, sent+64<<10)])
			sent += n
			b.mu.Lock()
			b.sent[order] = sent
			b.mu.Unlock()
			if err != nil {
				return
			}
			if b.pace > 0 {
				<-time.After(b.pace)
			}
		}
	}
	stop(inHeader)
	write(b.size / 2)
	stop(inTheMiddle)
	write(b.size - 1)
	stop(beforeLastByte)
	write(b.size)
}

// siteName is the host name of the gateways' site.
const siteName = "esign.test"

// get makes the download of an order at a URL of a gateway.
func get(ctx context.Context, client *http.Client, url, user, order string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, fmt.Sprintf("%s/v1/signdoc/pades?sign_id=%s", url, order), nil)
	if err != nil {
		return nil, err
	}
	req.Host = siteName
	req.SetBasicAuth(user, "correct")
	return client.Do(req)
}
