package caddyesign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/storagetrial"
)

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
