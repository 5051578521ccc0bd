package downloads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// storages are the storages by name.
var storages = map[string]func(*testing.T) storage{"files": newFiles, "redis": newRedis}

// newClient returns a client with a connection of its own.
func newClient(t *testing.T, protocol string) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(protocol == "h1")
	transport.Protocols.SetUnencryptedHTTP2(protocol == "h2")
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// fetch makes a download, and returns the status and the whole content.
func (f *fleet) fetch(protocol string, g *gateway, user, order string) (status int, content []byte, err error) {
	res, err := get(f.t.Context(), newClient(f.t, protocol), g.address, user, order)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	content, err = io.ReadAll(res.Body)
	return res.StatusCode, content, err
}

// hash returns the form of an order in the log.
func hash(order string) string {
	sum := sha256.Sum256([]byte(order))
	return hex.EncodeToString(sum[:8])
}

// leave makes the first call for an order, and leaves at a stage. It returns when the
// gateway has the whole document.
func (f *fleet) leave(protocol string, g *gateway, order string, s stage) {
	f.t.Helper()
	h := f.bank.halt(order, s)
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	left := make(chan struct{})
	go func() {
		defer close(left)
		res, err := get(ctx, newClient(f.t, protocol), g.address, "app", order)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body) // the caller leaves meanwhile
			res.Body.Close()
		}
	}()
	if s < after {
		<-h.reached
		cancel()
		<-left
		eventually(f.t, "the log line that the download goes on", func() bool {
			for _, e := range g.lines("download goes on") {
				if e.Order == hash(order) {
					return true
				}
			}
			return false
		})
		close(h.goOn)
	} else {
		<-left
	}
	eventually(f.t, "the end of the download", func() bool { return f.bank.sentAll(order) })
}

// The caller leaves at some stage, and something happens to the gateway. The next DELETE of
// the same caller gets every byte, another caller never does, and the API saw one call.
func TestRescue(t *testing.T) {
	t.Parallel()
	for name, open := range storages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			b := newBank(t, 3<<20+17)
			f := newFleet(t, b, s)
			for _, g := range f.gateways {
				g.start()
			}
			var orders []string
			for fate, happens := range map[string]func() *gateway{
				"restarted": func() *gateway { f.gateways[0].restart(); return f.gateways[0] },
				"killed": func() *gateway {
					f.gateways[0].kill()
					f.gateways[0].start()
					return f.gateways[0]
				},
				"another": func() *gateway { return f.gateways[1] },
				"killed, another": func() *gateway {
					f.gateways[0].signal(syscall.SIGKILL)
					defer f.gateways[0].start()
					return f.gateways[1]
				},
			} {
				left := make(map[string]string) // protocol by order
				for _, protocol := range []string{"h1", "h2"} {
					for s := beforeHeader; s <= after; s++ {
						order := strings.NewReplacer(" ", "-", ",", "").Replace(fmt.Sprintf("order-%s-%s-%s", protocol, s, fate))
						f.leave(protocol, f.gateways[0], order, s)
						left[order] = protocol
						orders = append(orders, order)
					}
				}
				f.settled()
				g := happens()
				var calls sync.WaitGroup
				for order, protocol := range left {
					calls.Go(func() { f.comesBack(protocol, g, order) })
				}
				calls.Wait()
			}
			checkSecrecy(t, s.dump(), orders)
		})
	}
}

// comesBack makes the next calls for an order whose first caller has left.
func (f *fleet) comesBack(protocol string, g *gateway, order string) {
	f.t.Helper()
	if status, content, err := f.fetch(protocol, g, "other", order); status == http.StatusOK {
		f.t.Errorf("%s: another caller got %d bytes, %v", order, len(content), err)
	}
	status, content, err := f.fetch(protocol, g, "app", order)
	if status != http.StatusOK || err != nil || !bytes.Equal(content, f.bank.document(order)) {
		f.t.Errorf("%s: the caller got %d, %d bytes, %v", order, status, len(content), err)
	}
	if n := f.bank.count(order); n != 2 {
		f.t.Errorf("%s: the API saw %d calls, want the first one and that of another caller", order, n)
	}
}

// settled waits until no gateway has a download under way.
func (f *fleet) settled() {
	f.t.Helper()
	eventually(f.t, "a storage without marks", func() bool { return f.storage.count(".mark") == 0 })
}

// checkSecrecy tests that a dump of a storage shows nothing of these orders.
func checkSecrecy(t *testing.T, dump string, orders []string) {
	t.Helper()
	if !strings.Contains(dump, ".manifest") {
		t.Error("the dump has no manifest")
	}
	words := []string{plainText, "application/pdf", "a-secret-of-the-fleet", "X-Order", "esign.test"}
	words = append(words, orders...)
	for _, order := range orders {
		words = append(words, hash(order))
	}
	for _, word := range words {
		for n := range 3 { // Redis has base64, which depends on the position
			enc := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", n) + word))
			if start := (n*8 + 5) / 6; strings.Contains(dump, word) || strings.Contains(dump, enc[start:len(word)*4/3]) {
				t.Errorf("the storage shows %q", word)
			}
		}
	}
}
