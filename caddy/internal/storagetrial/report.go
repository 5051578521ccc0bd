package storagetrial

import (
	"slices"
	"time"
)

// A Verdict says whether a storage will do.
type Verdict string

// The verdicts.
const (
	Fit   Verdict = "fit"   // for shared tokens
	Slow  Verdict = "slow"  // it works, and costs time or requests
	Unfit Verdict = "unfit" // each server asks for its own tokens
)

// A Result is what came of one probe.
type Result string

// The results.
const (
	OK   Result = "ok"
	Warn Result = "warn"
	Fail Result = "fail"
)

// A Report is what a trial found. It holds nothing secret if Trial.Show shows
// nothing secret.
type Report struct {
	Verdict Verdict

	// Findings are those of the probes that were tried: nothing else is after one that
	// leaves nothing to find out.
	Findings []Finding

	// Median and Worst are how long reads and writes of 3 KiB took, zero if that was
	// not tried.
	Median, Worst time.Duration

	// DeadHolder is how long the lock of a process that was killed was kept, zero if
	// that was not tried, or did not end.
	DeadHolder time.Duration
}

// A Finding is what came of one probe.
type Finding struct {
	// Name is that of the probe.
	Name string `json:"name"`

	// Result is one of the constants.
	Result Result `json:"result"`

	// Text says what was seen, and Hint what that means for shared tokens, empty if
	// that need not be said.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`

	costs bool // time or requests
	end   bool // nothing else is to be tried
}

// verdict is that of the findings.
func verdict(findings []Finding) Verdict {
	switch {
	case slices.ContainsFunc(findings, func(f Finding) bool { return f.Result == Fail }):
		return Unfit
	case slices.ContainsFunc(findings, func(f Finding) bool { return f.costs }):
		return Slow
	}
	return Fit
}
