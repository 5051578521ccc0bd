package downloads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// storages are the storages by name.
var storages = map[string]func(*testing.T) storage{"files": newFiles, "redis": newRedis}

// newClient returns a client with a connection of its own, and the URL of the gateway for it.
func (f *fleet) newClient(protocol string, g *gateway) (client *http.Client, url string) {
	if protocol == "h3" {
		transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: f.pool, ServerName: siteName}}
		f.t.Cleanup(func() { _ = transport.Close() })
		host, _, _ := net.SplitHostPort(g.address)
		return &http.Client{Transport: transport}, "https://" + net.JoinHostPort(host, f.secure)
	}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(protocol == "h1")
	transport.Protocols.SetUnencryptedHTTP2(protocol == "h2")
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, "http://" + g.address
}

// fetch makes a download, and returns the status and the whole content.
func (f *fleet) fetch(protocol string, g *gateway, user, order string) (status int, content []byte, err error) {
	client, url := f.newClient(protocol, g)
	res, err := get(f.t.Context(), client, url, user, order)
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
		client, url := f.newClient(protocol, g)
		res, err := get(ctx, client, url, "app", order)
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

// orderPrefix is how the names of orders begin.
const orderPrefix = "the-order-"

// A fate is what happens to the gateway after a caller has left. It returns the gateway that
// the caller comes back to.
type fate func(f *fleet) *gateway

// fates are the fates by name.
var fates = map[string]fate{
	"same":      func(f *fleet) *gateway { return f.gateways[0] },
	"restarted": func(f *fleet) *gateway { f.gateways[0].restart(); return f.gateways[0] },
	"killed": func(f *fleet) *gateway {
		f.gateways[0].kill()
		f.gateways[0].start()
		return f.gateways[0]
	},
	"another": func(f *fleet) *gateway { return f.gateways[1] },
	"killed, another": func(f *fleet) *gateway {
		f.gateways[0].kill()
		defer f.gateways[0].start()
		return f.gateways[1]
	},
}

// The caller leaves at some stage, and something happens to the gateway. The next DELETE of
// the same caller gets every byte, another caller never does, and the API saw one call.
func TestRescue(t *testing.T) {
	t.Parallel()
	every, protocols := []stage{beforeHeader, inHeader, inTheMiddle, beforeLastByte, after}, []string{"h1", "h2", "h3"}
	for name, test := range map[string]struct {
		open      func(*testing.T) storage
		stages    []stage
		protocols []string
		fates     []string
	}{
		"memory":     {newMemory, every, protocols, []string{"same"}},
		"files":      {newFiles, every, protocols, slices.Collect(maps.Keys(fates))},
		"redis":      {newRedis, every, protocols, slices.Collect(maps.Keys(fates))},
		"s3":         {newS3, []stage{inTheMiddle}, []string{"h1"}, slices.Collect(maps.Keys(fates))},
		"postgresql": {newPostgres, []stage{inTheMiddle}, []string{"h1"}, slices.Collect(maps.Keys(fates))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := test.open(t)
			b := newBank(t, 3<<20+17)
			f := newFleet(t, b, s)
			for _, g := range f.gateways {
				g.start()
			}
			var orders []string
			for _, fate := range test.fates {
				left := make(map[string]string) // protocol by order
				for _, protocol := range test.protocols {
					for _, s := range test.stages {
						order := strings.NewReplacer(" ", "-", ",", "").Replace(fmt.Sprintf("%s%s-%s-%s", orderPrefix, protocol, s, fate))
						f.leave(protocol, f.gateways[0], order, s)
						left[order] = protocol
						orders = append(orders, order)
					}
				}
				f.settled()
				g := fates[fate](f)
				var calls sync.WaitGroup
				for order, protocol := range left {
					calls.Go(func() { f.comesBack(protocol, g, order) })
				}
				calls.Wait()
			}
			if s.mode() == "storage" {
				checkSecrecy(t, s.dump(), orders)
			}
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
	if n := f.bank.count(order); n != 2 && (n > 3 || !f.slow()) {
		f.t.Errorf("%s: the API saw %d calls, want the first one and that of another caller", order, n)
	}
}

// slow reports whether the storage did not respond in time to one of the gateways, as on a
// busy machine. Then the gateway asks the API, and the storage again.
func (f *fleet) slow() bool {
	return slices.ContainsFunc(f.gateways[:], func(g *gateway) bool { return len(g.lines("downloads are kept in memory only")) > 0 })
}

// settled waits until no gateway has a download under way.
func (f *fleet) settled() {
	f.t.Helper()
	eventually(f.t, "a storage without marks", func() bool { return f.storage.count(".mark") == 0 })
}

// checkSecrecy tests that a dump of a storage shows nothing of these orders, five or more.
func checkSecrecy(t *testing.T, dump string, orders []string) {
	t.Helper()
	if !strings.Contains(dump, ".manifest") {
		t.Error("the dump has no manifest")
	}
	words := []string{plainText, "application/pdf", "a-secret-of-the-fleet", "X-Order", siteName, orderPrefix}
	for _, order := range orders[:5] { // the dump is hundreds of megabytes long
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
