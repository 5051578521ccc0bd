package fleet

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// size is the number of gateways that share.
const size = 8

// The remains of a fleet do not disturb the next fleet.
func TestFleetsFollowEachOther(t *testing.T) {
	for range 5 {
		t.Run("fleet", func(t *testing.T) { newFleet(t, 0, size) })
	}
}

func TestFleetOnTheFileSystem(t *testing.T) {
	f := newFleet(t, 0, size)
	f.storage = "storage file_system " + filepath.Join(f.dir, "storage")
	t.Cleanup(f.stop)
	f.testSharing(func() {
		if err := os.RemoveAll(filepath.Join(f.dir, "storage")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFleetOnRedis(t *testing.T) {
	f := newFleet(t, 0, size)
	r := newRedis(f)
	f.storage = r.option()
	t.Cleanup(f.stop)
	f.testSharing(func() {
		r.run("flushall")
		r.run("config", "resetstat")
	})
	t.Logf("what the gateways did with Redis since the lock's holder was killed:\n%s", r.run("info", "commandstats"))

	// Redis stops and starts again, twice, under load.
	f.bank.setLife(10 * time.Second)
	f.restart()
	f.all(f.everyone()...)
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

// renewals waits, under load, until n tokens have been requested and all gateways have the last
// of them. It returns the number of tokens that were requested, and the time.
func (f *fleet) renewals(n int) (requests int, took time.Duration) {
	f.t.Helper()
	f.bank.asked()
	start := time.Now()
	end := f.load()
	f.eventually(func() bool { return len(f.bank.waiting()) >= n })
	took = time.Since(start)
	f.agree(f.everyone()...)
	calls, failures := end()
	requests = len(f.bank.asked())
	f.t.Logf("%d token requests for %d gateways in %.1f s, %d calls, %d failed", requests, size, took.Seconds(), calls, failures)
	if failures > 0 || f.bank.rejected() > 0 {
		f.t.Errorf("%d of %d calls failed, %d had an expired token", failures, calls, f.bank.rejected())
	}
	return requests, took
}

// testSharing counts the token requests of a fleet. empty empties its storage.
func (f *fleet) testSharing(empty func()) {
	t := f.t

	// All start at once, with an empty storage.
	f.bank.setLife(5 * time.Minute)
	f.restart()
	f.all(f.everyone()...)
	if asked := f.bank.asked(); len(asked) != 1 {
		t.Errorf("a cold start of all made %d token requests, want 1: %v", len(asked), asked)
	}
	// All start again.
	f.restart()
	f.all(f.everyone()...)
	if asked := f.bank.asked(); len(asked) != 0 {
		t.Errorf("a restart made %d token requests, want none: %v", len(asked), asked)
	}

	// The holder of the lock is killed while it asks.
	f.stop()
	empty()
	release := f.bank.holdTokens()
	defer release()
	f.start() // each gateway asks for a token at once
	f.eventually(func() bool { return len(f.bank.waiting()) > 0 })
	holder := slices.IndexFunc(f.gateways[:], func(g *gateway) bool { return g.address == f.bank.waiting()[0] })
	f.kill(holder)
	release()
	f.all(slices.DeleteFunc(f.everyone(), func(i int) bool { return i == holder })...)
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
	f.all(f.everyone()...)
	const tokens = 4
	requests, took := f.renewals(tokens)
	// Each is renewed when 70 to 80 % of its life have passed; the first had been
	// issued before.
	if earliest := time.Duration(float64(life) * 0.7 * (tokens - 1)); requests != tokens || took < earliest {
		t.Errorf("%d token requests in %v, want %d in at least %v", requests, took, tokens, earliest)
	}
}
