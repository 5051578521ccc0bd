package fleet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// size is how many gateways there are.
const size = 8

// A fleet is a number of gateways, and what they talk to: all at addresses of a
// bridge between their network namespaces.
type fleet struct {
	t        *testing.T
	bank     *bank
	dir      string
	storage  string // the global option
	gateways [size]*gateway
}

// A gateway is one process.
type gateway struct {
	namespace string
	address   string // at the bridge
	process   *exec.Cmd
	log       *os.File
}

// newFleet lays the network, and starts the bank. The gateways are started by
// start.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir()}
	const bridge = "esign-fleet"
	f.ip("link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { f.ip("link", "del", bridge) })
	f.ip("addr", "add", "10.77.0.1/24", "dev", bridge)
	f.ip("link", "set", bridge, "up")
	for i := range f.gateways {
		g := &gateway{namespace: fmt.Sprintf("esign-fleet-%d", i), address: fmt.Sprintf("10.77.0.%d", 10+i)}
		f.ip("netns", "add", g.namespace)
		t.Cleanup(func() { f.ip("netns", "del", g.namespace) })
		outer := fmt.Sprintf("esign-f%d", i)
		f.ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", g.namespace)
		// By itself, it would go some time after the namespace, and be in the way of
		// the next fleet's.
		t.Cleanup(func() { f.ip("link", "del", outer) })
		f.ip("link", "set", outer, "master", bridge, "up")
		f.ip("-n", g.namespace, "addr", "add", g.address+"/24", "dev", "eth0")
		f.ip("-n", g.namespace, "link", "set", "eth0", "up")
		f.ip("-n", g.namespace, "link", "set", "lo", "up")
		f.gateways[i] = g
	}
	f.bank = newBank(t, "10.77.0.1")
	f.write("secret", "a secret of the fleet")
	f.write("ca.pem", string(f.bank.ca()))
	return f
}

// ip configures the network.
func (f *fleet) ip(args ...string) {
	f.t.Helper()
	// Not the test's context, which has ended when the network is taken away.
	if out, err := exec.CommandContext(context.Background(), "ip", args...).CombinedOutput(); err != nil {
		f.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// write writes a file.
func (f *fleet) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// start starts all gateways at once, and waits until they answer.
func (f *fleet) start() {
	f.t.Helper()
	for i := range f.gateways {
		f.launch(i)
	}
	for _, g := range f.gateways {
		f.eventually(func() bool {
			res, err := http.Get("http://" + g.address + ":8080/up") //nolint:noctx // it is repeated
			if err != nil {
				return false
			}
			return res.Body.Close() == nil
		})
	}
}

// launch starts gateway i.
func (f *fleet) launch(i int) {
	f.t.Helper()
	g := f.gateways[i]
	name := fmt.Sprintf("Caddyfile-%d", i)
	f.write(name, fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	%s
	bankid_esign {
		issuer %s
		client_id fleet
		client_secret {file.%s/secret}
		share_tokens
		tls {
			trust_pool file %[3]s/ca.pem
		}
	}
}
http://:8080 {
	respond /up ok
	bankid_esign signdoc {
		callers any
		upstream signdoc %s
		transport http {
			tls_trust_pool file %[3]s/ca.pem
		}
	}
}
`, f.storage, f.bank.issuer(), f.dir, f.bank.url))
	log, err := os.OpenFile(filepath.Join(f.dir, fmt.Sprintf("log-%d", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	g.log = log
	// "ip netns exec" becomes the gateway, so it is the gateway that a kill ends.
	g.process = exec.CommandContext(context.Background(), "ip", "netns", "exec", g.namespace,
		os.Getenv(binary), "run", "--config", filepath.Join(f.dir, name), "--adapter", "caddyfile")
	g.process.Env = append(os.Environ(), "HOME="+f.dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=")
	g.process.Stdout, g.process.Stderr = log, log
	g.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // no gateway outlives the tests
	if err := g.process.Start(); err != nil {
		f.t.Fatal(err)
	}
}

// kill ends gateway i at once.
func (f *fleet) kill(i int) {
	f.t.Helper()
	g := f.gateways[i]
	if g.process == nil {
		return
	}
	if err := g.process.Process.Kill(); err != nil {
		f.t.Error(err)
	}
	_ = g.process.Wait() // it says that it was killed
	_ = g.log.Close()
	g.process = nil
}

// restart ends all gateways and starts them again.
func (f *fleet) restart() {
	f.t.Helper()
	f.stop()
	f.start()
}

// stop ends all gateways.
func (f *fleet) stop() {
	f.t.Helper()
	for i := range f.gateways {
		f.kill(i)
	}
}

// call makes a call through gateway i and returns its status, 0 if there was no
// answer.
func (f *fleet) call(ctx context.Context, i int) (status int, header http.Header) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.gateways[i].address+":8080/v1/signdoc/convert/pdf/specs", nil)
	if err != nil {
		f.t.Error(err)
		return 0, nil
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header
}

// all makes a call through each of the given gateways at once, and asserts that
// all succeed.
func (f *fleet) all(gateways ...int) {
	f.t.Helper()
	var group sync.WaitGroup
	for _, i := range gateways {
		group.Go(func() {
			if status, header := f.call(f.t.Context(), i); status != http.StatusOK {
				f.t.Errorf("gateway %d answers %d, %v", i, status, header["Proxy-Status"])
			}
		})
	}
	group.Wait()
}

// load calls all gateways all the time until the returned function is called,
// which returns how many calls were made, and how many failed.
func (f *fleet) load() (end func() (calls, failures int64)) {
	var calls, failures atomic.Int64
	ctx, cancel := context.WithCancel(f.t.Context())
	var group sync.WaitGroup
	for i := range f.gateways {
		group.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				status, header := f.call(ctx, i)
				if ctx.Err() != nil {
					return
				}
				calls.Add(1)
				if status != http.StatusOK {
					failures.Add(1)
					f.t.Logf("gateway %d answers %d, %v", i, status, header["Proxy-Status"])
				}
			}
		})
	}
	return func() (int64, int64) {
		cancel()
		group.Wait()
		return calls.Load(), failures.Load()
	}
}

// eventually waits until done reports true.
func (f *fleet) eventually(done func() bool) {
	f.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			for i := range f.gateways {
				log, _ := os.ReadFile(filepath.Join(f.dir, fmt.Sprintf("log-%d", i)))
				f.t.Logf("gateway %d:\n%s", i, log)
			}
			f.t.Fatal("it does not come to pass")
		}
	}
}

// everyone lists all gateways.
func everyone() []int {
	all := make([]int, size)
	for i := range all {
		all[i] = i
	}
	return all
}

// freePort returns a port at which nothing listens.
func freePort(t *testing.T, host string) string {
	t.Helper()
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
