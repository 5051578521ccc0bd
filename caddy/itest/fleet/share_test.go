package fleet

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// What one fleet leaves is not in the way of the next.
func TestFleetsFollowEachOther(t *testing.T) {
	for range 5 {
		t.Run("fleet", func(t *testing.T) { newFleet(t) })
	}
}

func TestFleetOnTheFileSystem(t *testing.T) {
	f := newFleet(t)
	f.storage = "storage file_system " + filepath.Join(f.dir, "storage")
	t.Cleanup(f.stop)
	f.testSharing(func() {
		if err := os.RemoveAll(filepath.Join(f.dir, "storage")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFleetOnRedis(t *testing.T) {
	f := newFleet(t)
	r := &redis{t: t, dir: f.dir, port: freePort(t, "10.77.0.1")}
	f.storage = "storage redis {\nhost 10.77.0.1\nport " + r.port + "\n}"
	r.start()
	t.Cleanup(r.stop)
	t.Cleanup(f.stop)
	f.testSharing(func() {
		r.run("flushall")
		r.run("config", "resetstat")
	})
	t.Logf("what the gateways did with Redis since the lock's holder was killed:\n%s", r.run("info", "commandstats"))

	// Redis goes away and comes back, twice, under load.
	f.bank.setLife(10 * time.Second)
	f.restart()
	f.all(everyone()...)
	end := f.load()
	for range 2 {
		r.stop()
		f.bank.asked()
		f.eventually(func() bool { return len(f.bank.waiting()) > 0 }) // a token is renewed without it
		r.start()
		f.bank.asked()
		f.eventually(func() bool { return len(f.bank.waiting()) > 0 })
	}
	calls, failures := end()
	t.Logf("while Redis restarted twice: %d calls, %d failed", calls, failures)
	if failures > 0 || f.bank.rejected() > 0 {
		t.Errorf("%d of %d calls failed, %d had an expired token", failures, calls, f.bank.rejected())
	}
	if requests, _ := f.renewals(2); requests != 2 {
		t.Errorf("after that, %d token requests were made for two tokens", requests)
	}
}

// renewals waits, under load, until n tokens have been asked for and all
// gateways have the last of them. It returns for how many there were requests,
// and how long it took.
func (f *fleet) renewals(n int) (requests int, took time.Duration) {
	f.t.Helper()
	f.bank.asked()
	start := time.Now()
	end := f.load()
	f.eventually(func() bool { return len(f.bank.waiting()) >= n })
	took = time.Since(start)
	f.eventually(func() bool { return f.bank.usersOfTheNewest() == size })
	calls, failures := end()
	requests = len(f.bank.asked())
	f.t.Logf("%d token requests for %d gateways in %.1f s, %d calls, %d failed", requests, size, took.Seconds(), calls, failures)
	if failures > 0 || f.bank.rejected() > 0 {
		f.t.Errorf("%d of %d calls failed, %d had an expired token", failures, calls, f.bank.rejected())
	}
	return requests, took
}

// testSharing counts the token requests of a fleet whose storage empty empties.
func (f *fleet) testSharing(empty func()) {
	t := f.t

	// All start at once, with nothing.
	f.bank.setLife(5 * time.Minute)
	f.restart()
	f.all(everyone()...)
	if asked := f.bank.asked(); len(asked) != 1 {
		t.Errorf("a cold start of all made %d token requests, want 1: %v", len(asked), asked)
	}
	// All start again.
	f.restart()
	f.all(everyone()...)
	if asked := f.bank.asked(); len(asked) != 0 {
		t.Errorf("a restart made %d token requests, want none: %v", len(asked), asked)
	}

	// The holder of the lock is killed while it asks.
	f.stop()
	empty()
	release := f.bank.holdTokens()
	defer release()
	f.start() // and each asks for a token at once
	f.eventually(func() bool { return len(f.bank.waiting()) > 0 })
	holder := slices.IndexFunc(f.gateways[:], func(g *gateway) bool { return g.address == f.bank.waiting()[0] })
	f.kill(holder)
	release()
	f.all(slices.DeleteFunc(everyone(), func(i int) bool { return i == holder })...)
	if asked := f.bank.asked(); len(asked) > 2 {
		t.Errorf("with the holder of the lock killed, %d token requests were made, want at most 2: %v", len(asked), asked)
	} else {
		t.Logf("with the holder of the lock killed: %d token requests", len(asked))
	}

	// Tokens of ten seconds, under load.
	const life = 10 * time.Second
	f.stop()
	empty()
	f.bank.setLife(life)
	f.restart()
	f.all(everyone()...)
	const tokens = 4
	requests, took := f.renewals(tokens)
	// Each is renewed when 70 to 80 % of its life have passed; the first had been
	// issued before.
	if earliest := time.Duration(float64(life) * 0.7 * (tokens - 1)); requests != tokens || took < earliest {
		t.Errorf("%d token requests in %v, want %d in at least %v", requests, took, tokens, earliest)
	}
}

// A redis is a Redis server.
type redis struct {
	t       *testing.T
	dir     string
	port    string
	process *exec.Cmd
}

// start starts the server, with what it held before.
func (r *redis) start() {
	r.t.Helper()
	r.process = exec.CommandContext(context.Background(), "redis-server", "--bind", "10.77.0.1", "--port", r.port,
		"--protected-mode", "no", "--dir", r.dir, "--appendonly", "yes", "--save", "")
	r.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for exec.CommandContext(context.Background(), "redis-cli", "-h", "10.77.0.1", "-p", r.port, "ping").Run() != nil {
		if time.Now().After(deadline) {
			r.t.Fatal("Redis does not start")
		}
	}
}

// stop ends the server.
func (r *redis) stop() {
	r.t.Helper()
	if err := r.process.Process.Kill(); err != nil {
		r.t.Error(err)
	}
	_ = r.process.Wait() // it says that it was killed
}

// run runs a command, and returns what it prints.
func (r *redis) run(args ...string) string {
	r.t.Helper()
	out, err := exec.CommandContext(context.Background(), "redis-cli", append([]string{"-h", "10.77.0.1", "-p", r.port}, args...)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
