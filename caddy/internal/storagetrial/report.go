package storagetrial

import (
	"slices"
	"time"
)

// A Verdict is whether a storage is suitable.
type Verdict string

// These are the verdicts.
const (
	Fit   Verdict = "fit"   // shared tokens work
	Slow  Verdict = "slow"  // they work, but cost time or requests
	Unfit Verdict = "unfit" // each server asks for its own tokens
)

// A Result is the result of one probe.
type Result string

// These are the results.
const (
	OK   Result = "ok"
	Warn Result = "warn"
	Fail Result = "fail"
)

// A Report is the result of a trial. It holds nothing secret if Trial.Show shows
// nothing secret.
type Report struct {
	Verdict Verdict

	// Findings are the findings of the probes that were tried. Some findings make
	// further probes pointless, and end the trial.
	Findings []Finding

	// Median and Worst are how long reads and writes of 3 KiB took, or zero if that was
	// not tried.
	Median, Worst time.Duration

	// DeadHolder is how long the lock of a killed process was kept, or zero if that was
	// not tried, or if the lock was not released in time.
	DeadHolder time.Duration
}

// A Finding is the finding of one probe.
type Finding struct {
	// Name is the name of the probe.
	Name string `json:"name"`

	// Result is one of the constants.
	Result Result `json:"result"`

	// Text is what was seen. Hint is what that means for shared tokens; it is
	// empty if that is clear.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`

	costs bool // whether it costs time or requests
	end   bool // whether it ends the trial
}

// verdict returns the verdict for the findings.
func verdict(findings []Finding) Verdict {
	switch {
	case slices.ContainsFunc(findings, func(f Finding) bool { return f.Result == Fail }):
		return Unfit
	case slices.ContainsFunc(findings, func(f Finding) bool { return f.costs }):
		return Slow
	}
	return Fit
}
