package fleet

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// A redis is a Redis server.
type redis struct {
	t          *testing.T
	dir        string
	host, port string
	process    *exec.Cmd
}

// newRedis starts a server for a fleet.
func newRedis(f *fleet) *redis {
	f.t.Helper()
	r := &redis{t: f.t, dir: f.dir, host: f.host(), port: ports.Free(f.t, f.host())}
	r.start()
	f.t.Cleanup(r.stop)
	return r
}

// option is the global option for it.
func (r *redis) option() string {
	return "storage redis {\nhost " + r.host + "\nport " + r.port + "\n}"
}

// start starts the server with its earlier entries.
func (r *redis) start() {
	r.t.Helper()
	r.process = exec.CommandContext(context.Background(), "redis-server", "--bind", r.host, "--port", r.port,
		"--protected-mode", "no", "--dir", r.dir, "--appendonly", "yes", "--save", "")
	r.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for exec.CommandContext(context.Background(), "redis-cli", "-h", r.host, "-p", r.port, "ping").Run() != nil {
		if time.Now().After(deadline) {
			r.t.Fatal("Redis does not start")
		}
	}
}

// stop ends the server.
func (r *redis) stop() {
	r.t.Helper()
	if r.process == nil {
		return
	}
	if err := r.process.Process.Kill(); err != nil {
		r.t.Error(err)
	}
	_ = r.process.Wait() // the error says that it was killed
	r.process = nil
}

// run runs a command, and returns its output.
func (r *redis) run(args ...string) string {
	r.t.Helper()
	out, err := exec.CommandContext(context.Background(), "redis-cli", append([]string{"-h", r.host, "-p", r.port}, args...)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// empty deletes all entries.
func (r *redis) empty() {
	r.t.Helper()
	r.run("flushall")
}
