package fleet

import (
	"context"
	"fmt"
	"io"
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

// A fleet is a number of gateways and their servers, with addresses on a bridge between their
// network namespaces.
type fleet struct {
	t        *testing.T
	bank     *bank
	dir      string
	network  int           // its number among the fleets at the same time
	storage  string        // the global option
	pace     time.Duration // between the calls of a gateway under load
	gateways []*gateway
}

// A gateway is one process.
type gateway struct {
	namespace string
	address   string        // at the bridge
	alone     bool          // it does not share its tokens
	ahead     time.Duration // of its clock, ahead of the machine's
	process   *exec.Cmd
	log       *os.File
}

// newFleet sets up the network with that number, and starts the bank. start starts the
// gateways.
func newFleet(t *testing.T, network, size int) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), network: network, pace: 20 * time.Millisecond, gateways: make([]*gateway, size)}
	bridge := fmt.Sprintf("esign-fleet-%d", network)
	f.ip("link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { f.ip("link", "del", bridge) })
	f.ip("addr", "add", f.host()+"/24", "dev", bridge)
	f.ip("link", "set", bridge, "up")
	for i := range f.gateways {
		g := &gateway{namespace: fmt.Sprintf("esign-fleet-%d-%d", network, i), address: fmt.Sprintf("10.77.%d.%d", network, 10+i)}
		f.ip("netns", "add", g.namespace)
		t.Cleanup(func() { f.ip("netns", "del", g.namespace) })
		outer := fmt.Sprintf("esign-f%d-%d", network, i)
		f.ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", g.namespace)
		// The kernel would remove it some time after the namespace, and it could conflict
		// with the next fleet's.
		t.Cleanup(func() { f.ip("link", "del", outer) })
		f.ip("link", "set", outer, "master", bridge, "up")
		f.ip("-n", g.namespace, "addr", "add", g.address+"/24", "dev", "eth0")
		f.ip("-n", g.namespace, "link", "set", "eth0", "up")
		f.ip("-n", g.namespace, "link", "set", "lo", "up")
		f.gateways[i] = g
	}
	f.bank = newBank(t, f.host())
	f.write("secret", "a secret of the fleet")
	f.write("ca.pem", string(f.bank.ca()))
	return f
}

// config is the name of the gateway's configuration file.
func (g *gateway) config() string { return "Caddyfile-" + g.address }

// host is the address on the bridge of the servers.
func (f *fleet) host() string { return fmt.Sprintf("10.77.%d.1", f.network) }

// ip configures the network.
func (f *fleet) ip(args ...string) {
	f.t.Helper()
	// The test's context has ended when the network is removed, so this is another.
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

// start starts all gateways at once, and waits until they respond.
func (f *fleet) start() {
	f.t.Helper()
	f.launchAll(f.everyone()...)
}

// launchAll starts the given gateways at once, and waits until they respond.
func (f *fleet) launchAll(gateways ...int) {
	f.t.Helper()
	for _, i := range gateways {
		f.launch(i)
	}
	for _, i := range gateways {
		f.eventually(func() bool {
			res, err := http.Get("http://" + f.gateways[i].address + ":8080/up") //nolint:noctx // it is in a loop
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
	name := g.config()
	share := "share_tokens"
	if g.alone {
		share = ""
	}
	f.write(name, fmt.Sprintf(`{
	admin 127.0.0.1:2019
	persist_config off
	auto_https off
	%s
	log esign {
		output file %[3]s/esign-%[6]d
		level DEBUG
		include bankid_esign
	}
	bankid_esign {
		issuer %[2]s
		client_id fleet
		client_secret {file.%[3]s/secret}
		%[4]s
		tls {
			trust_pool file %[3]s/ca.pem
		}
	}
}
http://:8080 {
	respond /up ok
	metrics /metrics
	bankid_esign signdoc {
		callers any
		upstream signdoc %[5]s
		transport http {
			tls_trust_pool file %[3]s/ca.pem
		}
	}
}
`, f.storage, f.bank.issuer(), f.dir, share, f.bank.url, i))
	log, err := os.OpenFile(filepath.Join(f.dir, fmt.Sprintf("log-%d", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	g.log = log
	program := os.Getenv(binary)
	if g.ahead != 0 {
		program += movable
	}
	// The process of "ip netns exec" becomes the gateway, so a kill ends the gateway.
	g.process = exec.CommandContext(context.Background(), "ip", "netns", "exec", g.namespace,
		program, "run", "--config", filepath.Join(f.dir, name), "--adapter", "caddyfile")
	g.process.Env = append(os.Environ(), "HOME="+f.dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=",
		fmt.Sprintf("CLOCK_AHEAD=%.0f", g.ahead.Seconds()))
	g.process.Stdout, g.process.Stderr = log, log
	f.logLaunch(i)
	g.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // gateways end with the tests
	if err := g.process.Start(); err != nil {
		f.t.Fatal(err)
	}
}

// reload makes gateway i load its configuration again.
func (f *fleet) reload(i int) error {
	g := f.gateways[i]
	return exec.CommandContext(f.t.Context(), "ip", "netns", "exec", g.namespace, os.Getenv(binary),
		"reload", "--force", "--config", filepath.Join(f.dir, g.config()), "--adapter", "caddyfile").Run()
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
	_ = g.process.Wait() // the error says that it was killed
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

// call makes a call through gateway i and returns the status, or 0 without a response.
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

// all makes a call through each of the given gateways at once, checks that all succeed, and
// returns the time of the longest.
func (f *fleet) all(gateways ...int) (longest time.Duration) {
	f.t.Helper()
	var group sync.WaitGroup
	began := time.Now()
	for _, i := range gateways {
		group.Go(func() {
			if status, header := f.call(f.t.Context(), i); status != http.StatusOK {
				f.t.Errorf("gateway %d responds with %d, %v", i, status, header["Proxy-Status"])
			}
		})
	}
	group.Wait()
	return time.Since(began)
}

// load calls all running gateways until the returned function is called. That returns the
// number of calls, and of failed calls.
func (f *fleet) load() (end func() (calls, failures int64)) {
	var calls, failures atomic.Int64
	ctx, cancel := context.WithCancel(f.t.Context())
	var group sync.WaitGroup
	for i, g := range f.gateways {
		if g.process == nil {
			continue
		}
		group.Go(func() {
			tick := time.NewTicker(f.pace)
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
					f.t.Logf("gateway %d responds with %d, %v", i, status, header["Proxy-Status"])
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
func (f *fleet) everyone() []int {
	all := make([]int, len(f.gateways))
	for i := range all {
		all[i] = i
	}
	return all
}

// agree waits, under load, until the given gateways have the newest token.
func (f *fleet) agree(gateways ...int) {
	f.t.Helper()
	addresses := make([]string, len(gateways))
	for n, i := range gateways {
		addresses[n] = f.gateways[i].address
	}
	f.eventually(func() bool { return f.bank.useNewest(addresses...) })
}
