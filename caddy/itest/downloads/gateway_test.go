package downloads

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A fleet is a number of gateways with one storage. They listen on the same port of
// different loopback addresses.
type fleet struct {
	t        *testing.T
	bank     *bank
	dir      string
	port     string
	storage  storage
	gateways [2]*gateway
}

// A gateway is a process that can be stopped and started again.
type gateway struct {
	fleet   *fleet
	address string
	log     string // the name of the log file
	process *exec.Cmd
}

// newFleet sets up a fleet. start starts its gateways.
func newFleet(t *testing.T, b *bank, s storage) *fleet {
	t.Helper()
	f := &fleet{t: t, bank: b, dir: t.TempDir(), port: freePort(t), storage: s}
	for i := range f.gateways {
		f.gateways[i] = &gateway{fleet: f, address: fmt.Sprintf("127.0.0.%d:%s", 2+i, f.port), log: filepath.Join(f.dir, fmt.Sprintf("log-%d", i))}
	}
	return f
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("this does not come: " + what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// start starts the gateway, and waits until it responds.
func (g *gateway) start() {
	t, f := g.fleet.t, g.fleet
	t.Helper()
	host, port, _ := net.SplitHostPort(g.address)
	config := fmt.Sprintf(`{
	admin off
	persist_config off
	%s
	log {
		output file %s
		format json
	}
	servers {
		protocols h1 h2c
	}
	bankid_esign {
		issuer %s
		client_id fleet
		client_secret a-secret-of-the-fleet
		downloads storage
	}
}
http://:%s {
	bind %s
	respond /up 200
	basic_auth {
		app $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
		other $2a$04$0pK1V70lk70OVzmgnTHKkO15vXlDKzKlqHxBMA1D05DQD9lo7zrnW
	}
	bankid_esign signdoc {
		upstream signdoc %s
	}
}
`, f.storage.option(), g.log, f.bank.issuer(), port, host, f.bank.server.URL)
	name := filepath.Join(f.dir, "Caddyfile-"+host)
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.process = exec.CommandContext(context.Background(), program, "run", "--config", name, "--adapter", "caddyfile")
	g.process.Env = append(os.Environ(), "XDG_DATA_HOME="+f.dir, "XDG_CONFIG_HOME="+f.dir)
	g.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := os.OpenFile(g.log+".out", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	g.process.Stdout, g.process.Stderr = output, output
	if err := g.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.kill)
	eventually(t, "a gateway that responds", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.address+"/up", nil)
		if err != nil {
			return false
		}
		req.SetBasicAuth("app", "correct")
		res, err := http.DefaultClient.Do(req)
		return err == nil && res.Body.Close() == nil
	})
}

// signal ends the process with a signal, and waits for it.
func (g *gateway) signal(s os.Signal) {
	if g.process == nil {
		return
	}
	_ = g.process.Process.Signal(s)
	_ = g.process.Wait() // the error says that it was killed
	g.process = nil
}

// kill kills the process.
func (g *gateway) kill() { g.signal(syscall.SIGKILL) }

// restart stops the process in order, and starts it again.
func (g *gateway) restart() {
	g.fleet.t.Helper()
	g.signal(syscall.SIGTERM)
	g.start()
}

// lines returns the entries of the log with a message.
func (g *gateway) lines(message string) []entry {
	text, err := os.ReadFile(g.log)
	if err != nil {
		return nil
	}
	var found []entry
	for line := range strings.Lines(string(text)) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil && strings.HasPrefix(e.Msg, message) {
			found = append(found, e)
		}
	}
	return found
}

// An entry is one of the log.
type entry struct {
	Msg, API, Order string
	Begun           json.Number
}

// A storage is what gateways share.
type storage interface {
	// option is the global option for it.
	option() string
	// dump returns all that it has, names too.
	dump() string
	// count returns the number of its keys of downloads with a suffix.
	count(suffix string) int
}

// files is a directory as a storage.
type files struct {
	t   *testing.T
	dir string
}

func newFiles(t *testing.T) storage { return &files{t, t.TempDir()} }

func (s *files) option() string { return "storage file_system " + s.dir }

func (s *files) count(suffix string) int {
	names, err := filepath.Glob(s.dir + "/bankid_esign/downloads/v1/*" + suffix)
	if err != nil {
		s.t.Error(err)
	}
	return len(names)
}

func (s *files) dump() string {
	var all strings.Builder
	err := filepath.WalkDir(s.dir, func(name string, d fs.DirEntry, err error) error {
		all.WriteString(name + "\n")
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		all.Write(content)
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	return all.String()
}

// redis is a Redis server.
type redis struct {
	t    *testing.T
	dir  string
	port string
}

func newRedis(t *testing.T) storage {
	t.Helper()
	r := &redis{t: t, dir: t.TempDir(), port: freePort(t)}
	server := exec.CommandContext(context.Background(), "redis-server", "--bind", "127.0.0.1", "--port", r.port,
		"--dir", r.dir, "--appendonly", "yes", "--save", "")
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatalf("%v (bash .ci/run installs what is needed)", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // the error says that it was killed
	})
	eventually(t, "Redis", func() bool { return r.cli("ping") == "PONG\n" })
	return r
}

func (r *redis) option() string { return "storage redis {\nhost 127.0.0.1\nport " + r.port + "\n}" }

func (r *redis) cli(args ...string) string {
	out, _ := exec.CommandContext(context.Background(), "redis-cli", append([]string{"-p", r.port}, args...)...).Output()
	return string(out)
}

func (r *redis) count(suffix string) int {
	return strings.Count(r.cli("--scan", "--pattern", "*downloads/v1/*"+suffix), suffix)
}

// dump returns the append-only file: all that was ever stored. Values are in base64.
func (r *redis) dump() string {
	var all strings.Builder
	err := filepath.WalkDir(r.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		all.Write(content)
		return err
	})
	if err != nil {
		r.t.Error(err)
	}
	return all.String()
}
