package fleet

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/itest/fleet/gateway/defective"
)

var (
	full          = flag.Bool("storages.full", false, "whether the storages are tried for twenty tokens, and their servers are away for twenty seconds")
	writeStorages = flag.Bool("storages.write", false, "whether the tables of storages are written into the documents")
)

// A promise is what the page says about a storage: the largest number of token requests of
// three gateways.
type promise struct {
	storage string
	open    func(f *fleet) server

	cold, renewed, killed, away, clocks int

	// overlaps says whether two gateways can get the lock if they look at the same time.
	overlaps bool

	// loads says whether Caddy starts and reloads while the server is away.
	loads bool
}

var promises = []promise{
	{
		storage: "`file_system`", open: func(f *fleet) server { return newFiles(f) },
		cold: 1, renewed: 1, killed: 2, away: 3, clocks: 3, loads: true,
	},
	{
		storage: "Redis", open: func(f *fleet) server { return newRedis(f) },
		cold: 1, renewed: 1, killed: 2, away: 3, clocks: 1, loads: false,
	},
	{
		storage: "PostgreSQL", open: func(f *fleet) server { return newPostgres(f) },
		cold: 3, renewed: 1, overlaps: true, killed: 3, away: 3, clocks: 3, loads: false,
	},
	{
		storage: "S3", open: func(f *fleet) server { return newS3(f) },
		cold: 3, renewed: 1, overlaps: true, killed: 3, away: 3, clocks: 3, loads: true,
	},
}

// The table of storages in the page has the promises of TestStorages.
func TestStorages(t *testing.T) {
	t.Parallel()
	tokens, away := 4, 10*time.Second
	if *full {
		tokens, away = 20, 20*time.Second
	}
	var figures figures
	t.Cleanup(func() {
		t.Logf("\n%s", &figures)
		checkTable(t, "TestStorages", promised())
	})
	for n, p := range promises {
		t.Run(strings.Trim(p.storage, "`"), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1+n, 2*sharing)
			b := newBench(f).on(p.open(f))
			b.overlaps = p.overlaps
			defer figures.add(p.storage, b)
			var waits []time.Duration
			for range 3 {
				waits = append(waits, b.cold(p.cold).Round(10*time.Millisecond))
			}
			b.figure(true, "the first calls waited %v", waits)
			b.warm(0)
			b.log(saysNothing, logged{})
			b.figure(true, "and then %v", b.killed(p.killed).Round(10*time.Millisecond))
			b.restart(6 * time.Second)
			b.all(b.sharers()...)
			b.renewed(tokens, p.renewed)
			b.idle(10 * time.Second)
			b.away(away, p.away, p.renewed)
			b.loads(p.loads)
			b.clocks(p.clocks)
		})
	}
}

// promised is the table of the promises.
func promised() string {
	var table strings.Builder
	table.WriteString("| storage | all start at once | renewal | the gateway that asks is killed | its server is away | clocks two minutes apart | Caddy starts and reloads while it is away |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, p := range promises {
		renewed := strconv.Itoa(p.renewed)
		if p.overlaps {
			renewed += ", seldom 2"
		}
		fmt.Fprintf(&table, "| %s | %d | %s | %d | %d | %d | %s |\n", p.storage, p.cold, renewed, p.killed, p.away, p.clocks,
			map[bool]string{true: "yes", false: "no"}[p.loads])
	}
	return table.String()
}

// An excuse is what the page says about a storage with a defect: the largest number of token
// requests of three gateways.
type excuse struct {
	defect, words         string
	cold, renewed, killed int
	life                  time.Duration // of tokens; 9 seconds if not set
	log                   int           // whether the log says that tokens are not shared
}

var excuses = []excuse{
	{defect: defective.OneKeySpace, words: "keeps locks where the entries are", cold: 1, renewed: 1, killed: 2},
	{defect: defective.LockForEver, words: "goes on locking after its context has ended", cold: 1, renewed: 1, killed: 2},
	{defect: defective.LockRefused, words: "refuses a lock that is held", cold: 1, renewed: 1, killed: 3},
	{defect: defective.LockNothing, words: "does not lock", cold: 3, renewed: 3, killed: 3},
	{defect: defective.LockOfTheDead, words: "never frees the lock of a process that has died", cold: 1, renewed: 1, killed: 3},
	{defect: defective.OtherNotFound, words: "returns another error for a missing entry", cold: 1, renewed: 1, killed: 2},
	{defect: defective.NotFoundWhenGone, words: "reports entries as missing while its server is away", cold: 1, renewed: 1, killed: 2},
	{defect: defective.Slow, words: "takes a second and a half for everything", cold: 3, renewed: 3, killed: 3, life: 12 * time.Second, log: maySay},
	{defect: defective.Hangs, words: "never responds", cold: 3, renewed: 3, killed: 3, log: says},
	{defect: defective.Changes, words: "returns another value", cold: 3, renewed: 3, killed: 3, log: says},
	{defect: defective.Forgets, words: "does not keep entries", cold: 3, renewed: 3, killed: 3, log: says},
	{defect: defective.Caches, words: "reads from memory for ten minutes", cold: 3, renewed: 3, killed: 3, log: says},
	{defect: defective.Panics, words: "panics", cold: 3, renewed: 3, killed: 3, log: says},
	{defect: defective.ReadOnly, words: "can be read but not written", cold: 3, renewed: 3, killed: 3, log: says},
}

// coldWait is the longest wait of a first call if the storage does not help: two seconds, the
// time of the bank, and a large margin for a busy machine.
const coldWait = 12 * time.Second

// The table of defects in the page has the excuses of TestDefects.
func TestDefects(t *testing.T) {
	t.Parallel()
	var figures figures
	t.Cleanup(func() {
		t.Logf("\n%s", &figures)
		checkTable(t, "TestDefects", excused())
	})
	for n, e := range excuses {
		t.Run(e.words, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1+len(promises)+n, 2*sharing)
			b := newBench(f).on(newDefect(f, e.defect))
			defer figures.add(e.words, b)
			wait := b.cold(e.cold)
			b.figure(wait < coldWait, "the first calls waited %v", wait.Round(10*time.Millisecond))
			goroutines := 0
			for _, i := range b.sharers() {
				goroutines -= b.goroutines(i)
			}
			b.stop()
			before := b.logs(b.sharers()...) // not all had the time to say it
			b.restart(max(e.life, 9*time.Second))
			b.all(b.sharers()...)
			b.renewed(3, e.renewed)
			for _, i := range b.sharers() {
				goroutines += b.goroutines(i)
			}
			b.figure(goroutines < 10*sharing, "goroutines %+d", goroutines)
			b.idle(5 * time.Second)
			b.log(e.log, before)
			b.figure(true, "and then %v", b.killed(e.killed).Round(10*time.Millisecond))
			if e.defect == defective.NotFoundWhenGone {
				b.away(10*time.Second, 3, e.renewed)
			}
		})
	}
}

// excused is the table of the excuses.
func excused() string {
	var table strings.Builder
	table.WriteString("| a storage that | all start at once | renewal | the gateway that asks is killed | the log says so |\n| --- | --- | --- | --- | --- |\n")
	for _, e := range excuses {
		fmt.Fprintf(&table, "| %s | %d | %d | %d | %s |\n", e.words, e.cold, e.renewed, e.killed, map[int]string{saysNothing: "no", maySay: "or not", says: "yes"}[e.log])
	}
	return table.String()
}

// Figures are the results of storages in this run.
type figures struct {
	mu   sync.Mutex
	rows []string
}

// add adds the results of a storage.
func (f *figures) add(name string, b *bench) {
	f.mu.Lock()
	defer f.mu.Unlock()
	verdict := "ok"
	if len(b.failed) > 0 {
		verdict = "FAILS"
		for _, i := range b.sharers() {
			b.t.Logf("gateway %d, of its storage:\n%s", i, b.storageLines(i))
		}
	}
	f.rows = append(f.rows, "| "+name+" | "+verdict+" | "+b.figures.String()+" |\n")
}

// String returns the figures as a table.
func (f *figures) String() string {
	return "| storage | | token requests and times |\n| --- | --- | --- |\n" + strings.Join(f.rows, "")
}
