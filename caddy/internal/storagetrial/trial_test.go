package storagetrial_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/storagetrial"
)

// A memory is the state that the instances of a storage share.
type memory struct {
	mu      sync.Mutex
	entries map[string][]byte
	holders map[string]int // of locks, by name
	next    int
}

func newMemory() *memory {
	return &memory{entries: make(map[string][]byte), holders: make(map[string]int)}
}

// An instance is an instance of a storage, with the given defects.
type instance struct {
	*memory
	number   int // of the instance
	slow     time.Duration
	cache    map[string][]byte // nil if reads are not cached
	absent   error             // the error for a missing key
	empty    bool              // a missing key is an empty value
	change   func([]byte) []byte
	lost     bool          // values are not kept
	goneSays error         // the error when the context has ended
	lockless bool          // Lock does nothing
	refuses  bool          // Lock does not wait
	spins    bool          // Lock ignores its context
	deaf     bool          // Lock ignores its context after lockTime
	expires  time.Duration // the lifetime of locks
	oneSpace bool          // locks and entries share one key space
	hangs    string        // the operation that hangs
	panics   string
	fails    map[string]error
	lockTime time.Duration     // how long Lock takes
	freeTime time.Duration     // how long Unlock takes
	grumbles bool              // Unlock releases the lock, and returns an error
	size     func(int64) int64 // what Stat reports
	largest  int               // the size of the largest value; 0 for any
	delay    time.Duration     // until Stat and Load see a write
	until    time.Time         // when it stops being reachable
	locked   map[string]int
}

// begin is the beginning of every operation.
func (i *instance) begin(ctx context.Context, operation string) error {
	if i.hangs == operation {
		time.Sleep(time.Hour) // in the test's fake time
	}
	if i.panics == operation {
		panic("no " + operation + " with password=hunter2")
	}
	if operation != "Delete" { // deletes come before any delay
		time.Sleep(i.slow)
	}
	if i.goneSays != nil && ctx.Err() != nil {
		return i.goneSays
	}
	if !i.until.IsZero() && time.Now().After(i.until) {
		return errors.New("connection refused")
	}
	return i.fails[operation]
}

func (i *instance) missing() error {
	if i.absent != nil {
		return i.absent
	}
	return fs.ErrNotExist
}

func (i *instance) Store(ctx context.Context, key string, value []byte) error {
	if err := i.begin(ctx, "Store"); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.change != nil {
		value = i.change(value)
	}
	if i.largest > 0 && len(value) > i.largest {
		return errors.New("value too long for hunter2")
	}
	value = bytes.Clone(value)
	switch {
	case i.lost:
	case i.delay > 0:
		time.AfterFunc(i.delay, func() {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.entries[key] = value
		})
	default:
		i.entries[key] = value
	}
	return nil
}

func (i *instance) Load(ctx context.Context, key string) ([]byte, error) {
	if err := i.begin(ctx, "Load"); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if value, ok := i.cache[key]; ok {
		return value, nil
	}
	value, ok := i.entries[key]
	if !ok && i.empty {
		return nil, nil
	}
	if !ok {
		return nil, i.missing()
	}
	if i.cache != nil {
		i.cache[key] = value
	}
	return value, nil
}

func (i *instance) Size(ctx context.Context, key string) (int64, error) {
	if err := i.fails["Stat"]; err != nil {
		return 0, err
	}
	value, err := i.Load(ctx, key)
	if size := int64(len(value)); err != nil || i.size == nil {
		return size, err
	}
	return i.size(int64(len(value))), nil
}

func (i *instance) Delete(ctx context.Context, key string) error {
	if err := i.begin(ctx, "Delete"); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.entries, key)
	return nil
}

func (i *instance) Lock(ctx context.Context, name string) error {
	err := i.begin(ctx, "Lock")
	if i.lockTime > 0 {
		select {
		case <-time.After(i.lockTime):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil || i.lockless {
		return err
	}
	for {
		i.mu.Lock()
		if i.holders[name] == 0 {
			i.take(name)
			i.mu.Unlock()
			return nil
		}
		i.mu.Unlock()
		if i.refuses {
			return errors.New("key is locked")
		}
		if i.spins || i.deaf {
			ctx = context.Background()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take takes a free lock. The caller holds the mutex.
func (i *instance) take(name string) {
	i.next++
	holder := i.next
	i.holders[name], i.locked[name] = holder, holder
	if i.oneSpace {
		i.entries[name] = []byte("locked")
	}
	if i.expires > 0 {
		time.AfterFunc(i.expires, func() { i.free(name, holder) })
	}
}

// free releases a lock if holder still has it.
func (i *instance) free(name string, holder int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if holder == 0 || i.holders[name] != holder {
		return
	}
	delete(i.holders, name)
	if i.oneSpace {
		delete(i.entries, name)
	}
}

func (i *instance) Unlock(ctx context.Context, name string) error {
	if err := i.begin(ctx, "Unlock"); err != nil {
		return err
	}
	time.Sleep(i.freeTime)
	i.mu.Lock()
	holder := i.locked[name]
	delete(i.locked, name)
	i.mu.Unlock()
	i.free(name, holder)
	if i.grumbles {
		return errors.New("no reply to hunter2")
	}
	return nil
}

// A process is a process that holds a lock.
type process struct {
	on      *memory
	givesUp time.Duration // how long after its death the lock is released
}

// hold takes a lock, regardless of the instances' defects.
func (p process) hold(_ context.Context, name string) (func(), error) {
	p.on.mu.Lock()
	defer p.on.mu.Unlock()
	p.on.holders[name] = -1
	return sync.OnceFunc(func() {
		time.AfterFunc(p.givesUp, func() {
			p.on.mu.Lock()
			defer p.on.mu.Unlock()
			if p.on.holders[name] == -1 {
				delete(p.on.holders, name)
			}
		})
	}), nil
}

// pair returns two instances with the same defects.
func pair(m *memory, defect func(*instance)) (first, second *instance) {
	instances := make([]*instance, 2)
	for n := range instances {
		instances[n] = &instance{memory: m, number: n, locked: make(map[string]int)}
		if defect != nil {
			defect(instances[n])
		}
	}
	return instances[0], instances[1]
}

// show masks the secret of the tests.
func show(err error) string { return strings.ReplaceAll(err.Error(), "hunter2", "***") }

// wantFindings asserts the results that are not ok, and that no text shows a secret.
func wantFindings(t *testing.T, report storagetrial.Report, verdict storagetrial.Verdict, want ...string) {
	t.Helper()
	var got []string
	for _, f := range report.Findings {
		if f.Result != storagetrial.OK {
			got = append(got, fmt.Sprint(f.Name, ": ", f.Result))
		}
		if strings.Contains(f.Text+f.Hint, "hunter2") {
			t.Errorf("%s shows a secret: %s", f.Name, f.Text)
		}
		if f.Text == "" {
			t.Errorf("%s has no text", f.Name)
		}
	}
	if report.Verdict != verdict || !slices.Equal(got, want) {
		t.Errorf("it is %s with %q, want %s with %q:", report.Verdict, got, verdict, want)
		for _, f := range report.Findings {
			t.Logf("%-8s%s: %s; %s", f.Result, f.Name, f.Text, f.Hint)
		}
	}
}

// wantNothingLeft asserts that there are no entries and no locks.
func wantNothingLeft(t *testing.T, m *memory) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) > 0 || len(m.holders) > 0 {
		t.Errorf("it leaves %v, and the locks %v", slices.Collect(maps.Keys(m.entries)), m.holders)
	}
}

// finding returns the finding of that name.
func finding(t *testing.T, report storagetrial.Report, name string) storagetrial.Finding {
	t.Helper()
	n := slices.IndexFunc(report.Findings, func(f storagetrial.Finding) bool { return f.Name == name })
	if n < 0 {
		t.Fatalf("no finding of %s: %+v", name, report.Findings)
	}
	return report.Findings[n]
}

func TestTrialOfAStorageThatWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		first, second := pair(m, nil)
		var said []string
		trial := storagetrial.Trial{
			First: first, Second: second, Show: show, Hold: process{m, 5 * time.Second}.hold,
			Progress: func(text string) { said = append(said, text) },
		}
		report := trial.Run(t.Context())
		wantFindings(t, report, storagetrial.Fit)
		if report.DeadHolder < 5*time.Second || report.DeadHolder > 7*time.Second {
			t.Errorf("a dead holder is said to keep its lock for %v", report.DeadHolder)
		}
		if len(said) != 1 || len(report.Findings) != 11 {
			t.Errorf("it says %q, of %d probes", said, len(report.Findings))
		}
		wantNothingLeft(t, m)
		trial.Hold = nil
		if start, report := time.Now(), trial.Run(t.Context()); len(report.Findings) != 9 || time.Since(start) > 5*time.Second {
			t.Errorf("the short trial takes %v for %d probes", time.Since(start), len(report.Findings))
		}
	})
}

func TestTrialOfDefectiveStorages(t *testing.T) {
	errOdd := errors.New("no such row, password=hunter2")
	for name, test := range map[string]struct {
		defect  func(*instance)
		givesUp time.Duration
		verdict storagetrial.Verdict
		want    []string
		text    map[string]string // parts of the findings' texts, by name
	}{
		"Lock does not look at its context": {
			defect: func(i *instance) { i.spins = true }, verdict: storagetrial.Fit,
			want: []string{"ended waiting: warn"},
			text: map[string]string{"ended waiting": "does not return within 3s after its context has ended"},
		},
		"Lock refuses": {
			defect: func(i *instance) { i.refuses = true }, verdict: storagetrial.Slow,
			want: []string{"locks: warn"},
			text: map[string]string{"locks": "while the lock is held, instead of waiting: key is locked", "dead holder": "is released 5"},
		},
		"Lock does nothing": {
			defect: func(i *instance) { i.lockless = true }, verdict: storagetrial.Unfit,
			want: []string{"locks: fail"},
			text: map[string]string{"locks": "the storage does not lock"},
		},
		"Lock does nothing, slowly": {
			defect: func(i *instance) { i.lockless, i.slow = true, 1500*time.Millisecond }, verdict: storagetrial.Unfit,
			want: []string{"speed: warn", "lock: warn", "locks: fail"},
		},
		"locks expire while their holder lives": {
			defect: func(i *instance) { i.expires = 15 * time.Second }, verdict: storagetrial.Slow,
			want: []string{"living holder: warn"},
			text: map[string]string{"living holder": "after 15"},
		},
		"locks outlive their holder": {
			givesUp: time.Minute, verdict: storagetrial.Slow,
			want: []string{"dead holder: warn"},
			text: map[string]string{"dead holder": "is released 1m0"},
		},
		"locks of the dead are kept": {
			givesUp: time.Hour, verdict: storagetrial.Slow,
			want: []string{"dead holder: warn"},
			text: map[string]string{"dead holder": "cannot be obtained 1m30s after its holder was killed: it does not return in time"},
		},
		"locks and entries have one key space": {
			defect: func(i *instance) { i.oneSpace = true }, verdict: storagetrial.Fit,
			text: map[string]string{"one name": "cannot have the same name (the entry is missing)"},
		},
		"a missing key is another error": {
			defect: func(i *instance) { i.absent = errOdd }, verdict: storagetrial.Fit,
			want: []string{"missing key: warn"},
			text: map[string]string{"missing key": "no such row, password=***"},
		},
		"a missing key, with an ended context": {
			defect: func(i *instance) { i.goneSays = fs.ErrNotExist }, verdict: storagetrial.Fit,
			want: []string{"ended context: warn"},
			text: map[string]string{"ended context": "Load with an ended context reports"},
		},
		"an error, with an ended context": {
			defect: func(i *instance) { i.goneSays = context.DeadlineExceeded }, verdict: storagetrial.Fit,
			text: map[string]string{"ended context": "causes an error of its own (Load, Stat and Store)"},
		},
		"150 ms": {
			defect: func(i *instance) { i.slow = 150 * time.Millisecond }, verdict: storagetrial.Slow,
			want: []string{"speed: warn"},
			text: map[string]string{"speed": "150ms for a read or write, 150ms at worst, of 20"},
		},
		"1.5 s": {
			defect: func(i *instance) { i.slow = 1500 * time.Millisecond }, verdict: storagetrial.Slow,
			want: []string{"speed: warn", "lock: warn"},
			text: map[string]string{"speed": "1.5s for a read or write", "lock": "is obtained after 1.5s, and released after 1.5s"},
		},
		"values change": {
			defect:  func(i *instance) { i.change = func(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("?")) } },
			verdict: storagetrial.Unfit,
			want:    []string{"value: fail"},
			text:    map[string]string{"value": "cannot be read within 3s by the instance that wrote it: the entry has another value"},
		},
		"values are not kept": {
			defect: func(i *instance) { i.lost = true }, verdict: storagetrial.Unfit,
			want: []string{"value: fail"},
			text: map[string]string{"value": "the entry is missing"},
		},
		"reads are cached": {
			defect: func(i *instance) { i.cache = make(map[string][]byte) }, verdict: storagetrial.Unfit,
			want: []string{"overwriting: fail"},
			text: map[string]string{"overwriting": "by another instance: the entry still has the previous value"},
		},
		"values end after a while": {
			defect:  func(i *instance) { i.change = func(b []byte) []byte { return b[:min(len(b), 4096)] } },
			verdict: storagetrial.Fit,
			want:    []string{"value: warn"},
			text:    map[string]string{"value": "65536 bytes that were written"},
		},
		"64 KiB cannot be stored": {
			defect: func(i *instance) { i.largest = 4096 }, verdict: storagetrial.Fit,
			want: []string{"value: warn"},
			text: map[string]string{"value": "65536 bytes cannot be written: value too long for ***"},
		},
		"3 KiB cannot be stored": {
			defect: func(i *instance) { i.largest = 2048 }, verdict: storagetrial.Unfit,
			want: []string{"value: fail"},
			text: map[string]string{"value": "3072 bytes cannot be written: value too long for ***"},
		},
		"Stat fails": {
			defect: func(i *instance) { i.fails = map[string]error{"Stat": errOdd} }, verdict: storagetrial.Unfit,
			want: []string{"value: fail"},
			text: map[string]string{"value": "Stat fails: no such row, password=***"},
		},
		"Stat reports a missing entry": {
			defect: func(i *instance) { i.fails = map[string]error{"Stat": fs.ErrNotExist} }, verdict: storagetrial.Unfit,
			want: []string{"value: fail"},
			text: map[string]string{"value": "Stat fails: file does not exist"},
		},
		"Stat reports 1 TiB": {
			defect: func(i *instance) { i.size = func(int64) int64 { return 1 << 40 } }, verdict: storagetrial.Unfit,
			want: []string{"value: fail"},
			text: map[string]string{"value": "Stat reports 1099511627776 bytes instead of 3072"},
		},
		"Stat reports 0": {
			defect: func(i *instance) { i.size = func(int64) int64 { return 0 } }, verdict: storagetrial.Unfit,
			want: []string{"value: fail"},
			text: map[string]string{"value": "Stat reports 0 bytes instead of 3072"},
		},
		"Stat reports less than one": {
			defect: func(i *instance) { i.size = func(int64) int64 { return -1 } }, verdict: storagetrial.Unfit,
			want: []string{"value: fail"},
		},
		"Stat reports a little more": {
			defect: func(i *instance) { i.size = func(size int64) int64 { return size + 8 } }, verdict: storagetrial.Fit,
			want: []string{"value: warn"},
			text: map[string]string{"value": "Stat reports 3080 bytes instead of 3072"},
		},
		"a missing key is an empty value": {
			defect: func(i *instance) { i.empty = true }, verdict: storagetrial.Fit,
			want: []string{"missing key: warn"},
			text: map[string]string{"missing key": "Load returns an empty value for a missing key"},
		},
		"what is written is seen 2 s later": {
			defect: func(i *instance) { i.delay = 2 * time.Second }, verdict: storagetrial.Unfit,
			want: []string{"value: fail"},
			text: map[string]string{"value": "can be read only after 2"},
		},
		"what is written is seen half a second later": {
			defect: func(i *instance) { i.delay = 480 * time.Millisecond }, verdict: storagetrial.Slow,
			want: []string{"value: warn", "overwriting: warn"},
			text: map[string]string{"value": "after 500ms", "ended context": "is ignored", "speed": "less than 1ms for a read"},
		},
		"it cannot be deleted from": {
			defect: func(i *instance) { i.fails = map[string]error{"Delete": errOdd} }, verdict: storagetrial.Fit,
			want: []string{"leftovers: warn"},
			text: map[string]string{"leftovers": "password=***"},
		},
		"locks cannot be released": {
			defect: func(i *instance) { i.fails = map[string]error{"Unlock": errOdd} }, verdict: storagetrial.Unfit,
			want: []string{"lock: fail", "leftovers: warn"},
			text: map[string]string{
				"lock":      "cannot be released: no such row, password=***",
				"leftovers": "a lock could not be released: no such row, password=***",
			},
		},
		"Unlock gives the lock back with an error": {
			defect: func(i *instance) { i.grumbles = true }, verdict: storagetrial.Slow,
			want: []string{"lock: warn"},
			text: map[string]string{"lock": "although Unlock returns an error: no reply to ***"},
		},
		"Unlock of the second instance gives the lock back with an error": {
			defect: func(i *instance) { i.grumbles = i.number == 1 }, verdict: storagetrial.Slow,
			want: []string{"lock: warn"},
			text: map[string]string{"lock": "although Unlock returns an error: no reply to ***"},
		},
		"Lock takes 700 ms": {
			defect: func(i *instance) { i.lockTime = 700 * time.Millisecond }, verdict: storagetrial.Slow,
			want: []string{"lock: warn"},
			text: map[string]string{"lock": "is obtained after 700ms, and released after less than 1ms"},
		},
		"Unlock takes 700 ms": {
			defect: func(i *instance) { i.freeTime = 700 * time.Millisecond }, verdict: storagetrial.Slow,
			want: []string{"lock: warn"},
			text: map[string]string{"lock": "is obtained after less than 1ms, and released after 700ms"},
		},
		"Lock takes 400 ms": {
			defect: func(i *instance) { i.lockTime = 400 * time.Millisecond }, verdict: storagetrial.Fit,
		},
		"Unlock takes 15 s": {
			defect: func(i *instance) { i.freeTime = 15 * time.Second }, verdict: storagetrial.Slow,
			want: []string{"lock: warn"},
			text: map[string]string{"lock": "released after 15s"},
		},
		"Unlock takes 25 s": {
			defect: func(i *instance) { i.freeTime = 25 * time.Second }, verdict: storagetrial.Unfit,
			want: []string{"lock: fail", "leftovers: warn"},
		},
		"Lock takes 3 s in the second instance": {
			defect: func(i *instance) {
				if i.number == 1 {
					i.lockTime, i.deaf = 3*time.Second, true
				}
			},
			verdict: storagetrial.Slow,
			want:    []string{"lock: warn", "ended waiting: warn"},
			text: map[string]string{
				"lock":          "is obtained after 3s",
				"ended waiting": "does not return within 3s",
			},
		},
		"Lock takes 15 s": {
			defect: func(i *instance) { i.lockTime = 15 * time.Second }, verdict: storagetrial.Slow,
			want: []string{"lock: warn"},
			text: map[string]string{"lock": "is obtained after 15s", "dead holder": "is released"},
		},
		"Lock takes 15 s, and locks nothing": {
			defect: func(i *instance) { i.lockTime, i.lockless = 15*time.Second, true }, verdict: storagetrial.Unfit,
			want: []string{"lock: warn", "locks: fail"},
		},
		"Lock takes 25 s": {
			defect: func(i *instance) { i.lockTime = 25 * time.Second }, verdict: storagetrial.Unfit,
			want: []string{"lock: fail"},
			text: map[string]string{"lock": "cannot be obtained within 20s"},
		},
		"nothing can be stored, and nothing deleted": {
			defect:  func(i *instance) { i.fails = map[string]error{"Store": errOdd, "Delete": errOdd} },
			verdict: storagetrial.Unfit,
			want:    []string{"value: fail"},
		},
		"nothing is kept, and nothing can be deleted": {
			defect:  func(i *instance) { i.lost, i.fails = true, map[string]error{"Delete": fs.ErrNotExist} },
			verdict: storagetrial.Unfit,
			want:    []string{"value: fail"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				first, second := pair(m, test.defect)
				givesUp := test.givesUp
				if givesUp == 0 {
					givesUp = 5 * time.Second
				}
				start := time.Now()
				report := storagetrial.Trial{First: first, Second: second, Show: show, Hold: process{m, givesUp}.hold}.Run(t.Context())
				if took := time.Since(start); took > 5*time.Minute {
					t.Errorf("it takes %v", took)
				}
				wantFindings(t, report, test.verdict, test.want...)
				for name, text := range test.text {
					if f := finding(t, report, name); !strings.Contains(f.Text, text) {
						t.Errorf("%s: text is %q, want %q", name, f.Text, text)
					}
				}
				time.Sleep(2 * time.Hour) // waiting calls end in this time
				if first.fails["Delete"] == nil && first.fails["Unlock"] == nil && first.delay == 0 {
					wantNothingLeft(t, m)
				}
			})
		})
	}
}

// Whatever hangs or panics, the trial ends, and names the operation.
func TestTrialEndsWhateverTheStorageDoes(t *testing.T) {
	for _, operation := range []string{"Store", "Load", "Delete", "Lock", "Unlock"} {
		for name, defect := range map[string]func(*instance){
			"hangs":  func(i *instance) { i.hangs = operation },
			"panics": func(i *instance) { i.panics = operation },
		} {
			t.Run(operation+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMemory()
					first, second := pair(m, defect)
					start := time.Now()
					report := storagetrial.Trial{First: first, Second: second, Show: show, Hold: process{m, time.Second}.hold}.Run(t.Context())
					if took := time.Since(start); took > time.Minute {
						t.Errorf("it takes %v", took)
					}
					want := map[string]string{"hangs": "it does not return in time", "panics": "it panicked: no " + operation + " with password=***"}[name]
					n := slices.IndexFunc(report.Findings, func(f storagetrial.Finding) bool { return strings.HasSuffix(f.Text, want) })
					if n < 0 || (report.Verdict == storagetrial.Unfit) != (operation != "Delete") {
						t.Errorf("it is %s with %+v, want %q", report.Verdict, report.Findings, want)
					}
					time.Sleep(24 * time.Hour) // hanging calls end in this time
				})
			})
		}
	}
}

// An interrupted trial leaves nothing behind, whether or not the storage obeys the
// context.
func TestInterruptedTrialCleansUp(t *testing.T) {
	for name, defect := range map[string]func(*instance){
		"heeded":     func(i *instance) { i.slow, i.goneSays = time.Millisecond, context.Canceled },
		"not heeded": func(i *instance) { i.slow = 300 * time.Millisecond },
	} {
		for _, after := range []time.Duration{0, 500 * time.Millisecond, 1100 * time.Millisecond, 4 * time.Second, 15 * time.Second, 25 * time.Second} {
			t.Run(name+" after "+after.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMemory()
					first, second := pair(m, defect)
					ctx, cancel := context.WithTimeout(t.Context(), after)
					defer cancel()
					start := time.Now()
					storagetrial.Trial{First: first, Second: second, Show: show, Hold: process{m, time.Minute}.hold}.Run(ctx)
					if took := time.Since(start); took > after+10*first.slow+time.Second {
						t.Errorf("it ends %v later", took-after)
					}
					m.mu.Lock()
					if len(m.entries) > 0 {
						t.Errorf("it leaves %v", slices.Collect(maps.Keys(m.entries)))
					}
					m.mu.Unlock()
					time.Sleep(time.Hour) // waiting calls, and the dead process's lock, end in this time
					wantNothingLeft(t, m)
				})
			})
		}
	}
}

// A trial that was interrupted does not report what it has not seen.
func TestInterruptedTrialSaysNothingOfWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := pair(newMemory(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
		defer cancel()
		report := storagetrial.Trial{First: first, Second: second, Show: show}.Run(ctx)
		wantFindings(t, report, storagetrial.Unfit, "ended waiting: fail")
	})
}

// If locks work between instances but not between processes, there are no locks.
func TestTrialOfLocksWithinOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := pair(newMemory(), nil)
		report := storagetrial.Trial{First: first, Second: second, Show: show, Hold: process{newMemory(), time.Second}.hold}.Run(t.Context())
		wantFindings(t, report, storagetrial.Unfit, "dead holder: fail")
	})
}

// A storage that has become unreachable does not count as keeping a lock.
func TestTrialOfAStorageThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		until := time.Now().Add(10 * time.Second)
		first, second := pair(m, func(i *instance) { i.until = until })
		report := storagetrial.Trial{First: first, Second: second, Show: show, Hold: process{m, 2 * time.Second}.hold}.Run(t.Context())
		wantFindings(t, report, storagetrial.Unfit, "living holder: fail", "leftovers: warn")
		for _, name := range []string{"living holder", "leftovers"} {
			if f := finding(t, report, name); !strings.HasSuffix(f.Text, "connection refused") {
				t.Errorf("%s: text is %q", name, f.Text)
			}
		}
	})
}

func TestTrialWithoutAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := pair(newMemory(), nil)
		report := storagetrial.Trial{First: first, Second: second, Show: show, Hold: func(context.Context, string) (func(), error) {
			return nil, errors.New("no fork for hunter2")
		}}.Run(t.Context())
		wantFindings(t, report, storagetrial.Fit, "dead holder: warn")
		if f := finding(t, report, "dead holder"); !strings.HasSuffix(f.Text, "no fork for ***") {
			t.Errorf("text is %q", f.Text)
		}
	})
}

// Values that the other instance sees late are found, unless the delay is too long.
func TestTrialOfInstancesThatSeeLate(t *testing.T) {
	for delay, want := range map[time.Duration]storagetrial.Verdict{
		900 * time.Millisecond:  storagetrial.Slow,
		1500 * time.Millisecond: storagetrial.Unfit,
		time.Minute:             storagetrial.Unfit,
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			first, second := pair(m, nil)
			report := storagetrial.Trial{First: first, Second: &late{second, delay}, Show: show}.Run(t.Context())
			if report.Verdict != want {
				t.Errorf("%v: it is %s with %+v", delay, report.Verdict, report.Findings)
			}
			time.Sleep(time.Hour)
		})
	}
}

// A late instance writes values that others see later.
type late struct {
	*instance
	delay time.Duration
}

func (l *late) Store(_ context.Context, key string, value []byte) error {
	time.AfterFunc(l.delay, func() { _ = l.instance.Store(context.Background(), key, value) })
	return nil
}
