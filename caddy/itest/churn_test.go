package itest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestChurn changes everything at the same time, for a minute, or for a quarter of a
// minute with -short: 200 callers call, the configuration is reloaded every second,
// tokens live five seconds, the issuer fails half of its responses, secrets rotate, and
// one of the two clients is replaced now and then. No call fails while there is a token
// for it. No call is made with a token that has expired or belongs to another client.
func TestChurn(t *testing.T) {
	duration := time.Minute
	if testing.Short() {
		duration /= 4
	}
	// Goroutines that Caddy starts once in a process must not be counted.
	g := startGateway(t, "environment current\nclient_id app\nclient_secret secret", "respond ok")
	g.stop(t)
	ours := goleak.IgnoreCurrent()
	c := newChurn(t, g)
	c.rotate()
	c.reload()
	c.call(2 * time.Second)
	before := c.atRest(nil)

	stop := make(chan struct{})
	var operator sync.WaitGroup
	operator.Go(func() { c.operate(stop) })
	c.call(duration)
	close(stop)
	operator.Wait()
	after := c.atRest(func(u churnUsage) bool { return u.goroutines <= before.goroutines })

	m := c.model
	t.Logf("%d callers in %v: %d calls done, %d without an obtainable token, %d made again after a reload, %d arrived late",
		churnCallers, duration, c.done.Load(), c.without.Load(), len(c.again), m.late.Load())
	t.Logf("%d reloads, %d secrets, %d clients; %d tokens given, %d requests failed, %d refused for an old secret",
		c.reloads, m.secrets.Load(), m.loaded.Load(), m.given.Load(), m.failed.Load(), m.refused.Load())
	t.Logf("before: %v; after: %v", before, after)
	if after.goroutines > before.goroutines || after.heap > before.heap+16<<20 {
		t.Errorf("there was %v, and is %v", before, after)
	}
	if c.done.Load() < 1000 || m.given.Load() < 5 || m.failed.Load() < 5 || c.reloads < 5 || m.secrets.Load() < 5 || m.loaded.Load() < 2 {
		t.Error("that was no churn")
	}
	c.stop(t)
	logged, err := os.ReadFile(c.log) // it includes all calls that the gateway saw
	if err != nil {
		t.Fatal(err)
	}
	log := string(logged)
	if !strings.Contains(log, "?call=1&") {
		t.Error("calls are not logged")
	}
	for _, id := range c.again {
		if strings.Contains(log, "?call="+id+"&") {
			t.Errorf("call %s was lost in the gateway", id)
		}
	}
	m.issuer.Close()
	m.api.Close()
	goleak.VerifyNone(t, ours)
}

// churnCallers is the number of callers at a time.
const churnCallers = 200

// A churn is a gateway together with its operator and its callers.
type churn struct {
	*gateway
	t         *testing.T
	model     *churnModel
	secret    string          // the file that holds the client secret
	transport *http.Transport // of the callers
	reloads   int

	calls, done, without atomic.Int64

	mu    sync.Mutex
	again []string // calls that did not arrive, and were retried
}

// newChurn starts everything but the gateway, which then logs at info level.
func newChurn(t *testing.T, g *gateway) *churn {
	g.level = "INFO"
	return &churn{
		gateway: g, t: t, model: newChurnModel(t), secret: filepath.Join(t.TempDir(), "secret"),
		transport: &http.Transport{MaxIdleConnsPerHost: churnCallers},
	}
}

// operate reloads the configuration every second, and rotates the secret in between,
// until stop is closed.
func (c *churn) operate(stop <-chan struct{}) {
	reload, rotate := time.NewTicker(time.Second), time.NewTicker(1300*time.Millisecond)
	defer reload.Stop()
	defer rotate.Stop()
	for {
		select {
		case <-reload.C:
			c.reload()
		case <-rotate.C:
			c.rotate()
		case <-stop:
			return
		}
	}
}

// reload loads the configuration again. Every fifth time, another client replaces the
// second one.
func (c *churn) reload() {
	generation := int64(c.reloads/5 + 1)
	c.reloads++
	c.model.loading.Store(generation)
	app := fmt.Sprintf(`refresh_before 2s
		issuer %s
		client_id first
		client_secret {file.%s}
		client second {
			client_id second-%d
			client_secret {file.%[2]s}
		}`, c.model.issuer.Issuer(), c.secret, generation)
	site := fmt.Sprintf(`handle /csc/* {
		bankid_esign csc {
			callers local
			client second
			upstream csc %[1]s
		}
	}
	handle {
		bankid_esign signdoc {
			callers local
			upstream signdoc %[1]s
		}
	}`, c.model.api.URL)
	if err := c.load(c.t, app, site); err != nil {
		c.t.Errorf("reloading: %v", err)
	}
	c.model.loaded.Store(generation)
}

// rotate creates a new secret, and makes it the only valid one.
func (c *churn) rotate() {
	secret := fmt.Sprintf("secret-%d", c.model.secrets.Load()+1)
	next := c.secret + ".next"
	if err := os.WriteFile(next, []byte(secret), 0o600); err != nil {
		c.t.Error(err)
	}
	c.model.rotate(secret)
	if err := os.Rename(next, c.secret); err != nil {
		c.t.Error(err)
	}
}

// call lets the callers call for as long as duration.
func (c *churn) call(duration time.Duration) {
	var callers sync.WaitGroup
	end := time.After(duration)
	stop := make(chan struct{})
	for range churnCallers {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !c.callOnce() {
					select {
					case <-time.After(100 * time.Millisecond): // a caller in a hurry tries again soon
					case <-stop:
					}
				}
			}
		})
	}
	<-end
	close(stop)
	callers.Wait()
}

// callOnce makes a call, and reports whether it succeeded.
func (c *churn) callOnce() bool {
	call := struct{ method, path string }{"GET", "/v1/signdoc/pades"}
	switch rand.IntN(10) {
	case 0:
		call.method = "DELETE"
	case 1, 2:
		call.method = "POST"
	case 3, 4:
		call.method, call.path = "POST", "/csc/v2/oauth2/token"
	}
	id := strconv.FormatInt(c.calls.Add(1), 10)
	start, generation := c.model.now(), c.model.loaded.Load()
	req, err := http.NewRequestWithContext(c.t.Context(), call.method,
		fmt.Sprintf("%s%s?call=%s&start=%d&generation=%d", c.url, call.path, id, start, generation), nil)
	if err != nil {
		c.t.Error(err)
		return false
	}
	if call.method == "POST" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(id)), int64(len(id))
	}
	res, err := c.transport.RoundTrip(req)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	end, last := c.model.now(), c.model.loading.Load()
	arrived := c.model.arrived(id)
	switch {
	case err != nil && !arrived:
		// The old configuration closed the connection, or the kernel had given it to a
		// listener that was closed.
		c.mu.Lock()
		c.again = append(c.again, id)
		c.mu.Unlock()
	case err != nil:
		c.t.Errorf("the response to a %s is lost: %v", call.method, err)
	case res.StatusCode == http.StatusOK && string(body) == id:
		c.done.Add(1)
		return true
	case arrived || !strings.HasPrefix(res.Header.Get("Proxy-Status"), "bankid_esign;error="):
		c.t.Errorf("a %s got %d %q, Proxy-Status %q; it arrived: %v", call.method, res.StatusCode, body, res.Header.Get("Proxy-Status"), arrived)
	case c.model.hadToken(call.path, generation, last, start, end):
		c.t.Errorf("a %s of %s got %d, Proxy-Status %q, although there was a token from %v to %v",
			call.method, call.path, res.StatusCode, res.Header.Get("Proxy-Status"), start, end)
	default:
		c.without.Add(1)
	}
	return false
}

// churnUsage is the amount of resources that the process uses.
type churnUsage struct {
	goroutines int
	heap       uint64
}

// String implements fmt.Stringer.
func (u churnUsage) String() string {
	return fmt.Sprintf("%d goroutines, %d KiB", u.goroutines, u.heap>>10)
}

// atRest returns what the process uses when nobody calls. It waits until wanted is
// true, or until the usage has not changed for a while.
func (c *churn) atRest(wanted func(churnUsage) bool) churnUsage {
	var last churnUsage
	same := 0
	deadline := time.Now().Add(time.Minute)
	eventually(c.t, func() bool {
		c.transport.CloseIdleConnections()
		c.model.api.CloseClientConnections()
		runtime.GC()
		runtime.GC() // pooled memory is free only after the second run
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		now := churnUsage{runtime.NumGoroutine(), stats.HeapAlloc}
		if now.goroutines == last.goroutines {
			same++
		} else {
			same = 0
		}
		last = now
		if wanted != nil {
			return wanted(now) || time.Now().After(deadline)
		}
		return same > 20
	})
	return last
}
