package caddyesign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/storagetrial"
)

// openLimit is how long it may take to load a storage, which may need its server.
const openLimit = 30 * time.Second

// checkedStorage is the result of trying a storage for share_tokens. It holds nothing
// secret.
type checkedStorage struct {
	// OK reports whether tokens can be shared in it.
	OK bool `json:"ok"`

	// Module is the name of the storage's module.
	Module string `json:"module"`

	// Verdict is fit, slow or unfit. Findings say why.
	Verdict  storagetrial.Verdict   `json:"verdict"`
	Findings []storagetrial.Finding `json:"findings"`

	// Median and Worst are how long a read or write took. DeadHolder is how long the
	// lock of a killed process was kept. All are in seconds, and left out if not known.
	Median     float64 `json:"median_seconds,omitempty"`
	Worst      float64 `json:"worst_seconds,omitempty"`
	DeadHolder float64 `json:"dead_holder_seconds,omitempty"`

	standard bool   // no storage is configured
	short    bool   // whether the slow probes were left out
	unfit    string // what follows if the storage is unfit, for the verdict
}

// tryStorage tries the storage that raw configures; nil means Caddy's default. If
// progress is not nil, slow probes are tried too, and progress is told before each of
// them. The error says that nothing could be tried, or that ctx ended.
func tryStorage(ctx context.Context, raw json.RawMessage, progress func(string)) (*checkedStorage, error) {
	checked := &checkedStorage{Module: "file_system", standard: raw == nil, short: progress == nil, unfit: "each gateway asks for its own tokens"}
	if raw != nil {
		var config struct {
			Module string `json:"module"`
		}
		if err := json.Unmarshal(raw, &config); err != nil || config.Module == "" {
			return nil, errors.New("the storage of the configuration names no module")
		}
		if _, err := caddy.GetModule("caddy.storage." + config.Module); err != nil {
			return nil, fmt.Errorf("the storage of the configuration: %w", err)
		}
		checked.Module = config.Module
	}
	show := newStorageMask(raw).show
	opened, err := openStorages(ctx, raw, 2)
	switch {
	case ctx.Err() != nil:
		return nil, errInterrupted
	case err != nil:
		checked.Verdict, checked.unfit = storagetrial.Unfit, "Caddy does not start with this storage"
		if errors.Is(err, errSecondInstance) {
			checked.unfit = "only one process at a time can use this storage"
		}
		checked.Findings = []storagetrial.Finding{{Name: "loading", Result: storagetrial.Fail, Text: show(err)}}
		return checked, nil
	}
	trial := storagetrial.Trial{First: opened.instances[0], Second: opened.instances[1], Show: show, Progress: progress}
	if progress != nil {
		trial.Hold = lockHolder(raw)
	}
	report := trial.Run(ctx)
	opened.close()
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	checked.OK, checked.Verdict, checked.Findings = report.Verdict != storagetrial.Unfit, report.Verdict, report.Findings
	checked.Median, checked.Worst, checked.DeadHolder = report.Median.Seconds(), report.Worst.Seconds(), report.DeadHolder.Seconds()
	return checked, nil
}

// errSecondInstance is the error if the storage could be loaded once, but not twice.
var errSecondInstance = errors.New("a second instance cannot be loaded")

// errInterrupted is the error of a check that was interrupted by a signal.
var errInterrupted = errors.New("interrupted")

// print adds the result to the table.
func (s *checkedStorage) print(t *table) {
	name := "storage " + s.Module
	if s.standard {
		name += " (Caddy's default, in the data directory of the user who runs this)"
	}
	t.heading(name)
	for _, f := range s.Findings {
		t.row(map[storagetrial.Result]mark{storagetrial.OK: good, storagetrial.Warn: odd, storagetrial.Fail: bad}[f.Result], f.Name, f.Text)
		t.hint(f.Hint)
	}
	if s.short && s.OK {
		t.row(none, "holders", "not tried, since it takes long: --storage does")
	}
	switch s.Verdict {
	case storagetrial.Fit:
		t.row(good, "verdict", "fit for share_tokens")
	case storagetrial.Slow:
		t.row(odd, "verdict", "slow for share_tokens: it works, but costs time or token requests")
	default:
		t.row(bad, "verdict", "unfit for share_tokens: "+s.unfit)
	}
}

// openedStorages are instances of one storage.
type openedStorages struct {
	instances []sharedStorage
	cancel    context.CancelFunc
	absent    []string // directories that did not exist
}

// openStorages loads n instances of a storage. It returns when they are loaded, or when
// its time limit or ctx is over: a module may wait for a server, or panic.
func openStorages(ctx context.Context, raw json.RawMessage, n int) (*openedStorages, error) {
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	type result struct {
		opened *openedStorages
		err    error
	}
	done := make(chan result, 1)
	go func() {
		res := result{err: errors.New("the storage panicked while it was loaded")}
		defer func() {
			_ = recover() // a panic would end the process before anything is printed
			done <- res
		}()
		res.opened, res.err = loadStorages(raw, n)
	}()
	select {
	case res := <-done:
		return res.opened, res.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the storage is not loaded after %v", openLimit)
	}
}

// loadStorages loads n instances of a storage.
func loadStorages(raw json.RawMessage, n int) (opened *openedStorages, err error) {
	// The storage's log is not for this process, and may contain secrets. What matters
	// is returned as an error.
	outer, err := caddy.ProvisionContext(&caddy.Config{Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "FATAL"}},
	}}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := caddy.NewContext(outer)
	opened = &openedStorages{cancel: cancel}
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	for i := range n {
		storage, err := loadStorage(ctx, raw)
		if err != nil && i > 0 {
			err = fmt.Errorf("%w: %w", errSecondInstance, err)
		}
		if err != nil {
			return nil, err
		}
		opened.instances = append(opened.instances, sharedStorage{storage})
	}
	// The user that runs a check may differ from the user that runs the gateway, who
	// could not use directories that the first one has made.
	if files, ok := opened.instances[0].Storage.(interface{ Filename(key string) string }); ok {
		for _, key := range []string{"locks", ""} {
			if _, err := os.Stat(files.Filename(key)); os.IsNotExist(err) {
				opened.absent = append(opened.absent, files.Filename(key))
			}
		}
	}
	return opened, nil
}

// loadStorage loads one instance of the storage that raw configures; nil means Caddy's
// default.
func loadStorage(ctx caddy.Context, raw json.RawMessage) (certmagic.Storage, error) {
	if raw == nil {
		return ctx.Storage(), nil
	}
	mod, err := ctx.LoadModule(&struct {
		Raw json.RawMessage `caddy:"namespace=caddy.storage inline_key=module"`
	}{raw}, "Raw")
	if err != nil {
		return nil, err
	}
	converter, ok := mod.(caddy.StorageConverter)
	if !ok {
		return nil, fmt.Errorf("module %T is not a storage", mod)
	}
	return converter.CertMagicStorage()
}

// close releases the instances, or gives up after a time limit. Then it removes the
// directories that the check has made, if they are empty.
func (o *openedStorages) close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		defer func() { _ = recover() }() // what was found must still be printed
		o.cancel()
	}()
	select {
	case <-closed:
	case <-time.After(openLimit):
	}
	for _, directory := range o.absent {
		_ = os.Remove(directory)
	}
}
