package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// A spread is the median and the quartiles of a figure that was measured several times.
type spread struct{ median, low, high float64 }

// newSpread returns the spread of values.
func newSpread(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75)}
}

// quantile returns the quantile q of sorted values, interpolated if it is between two of
// them. Without values, it returns NaN.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// percentile returns the latency that a share q of the sorted latencies does not exceed.
func percentile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}

// ratios returns the ratios of values to those of the floor, pair by pair.
func ratios(values, floor []float64) []float64 {
	out := make([]float64, 0, len(values))
	for i, value := range values {
		out = append(out, value/floor[i])
	}
	return out
}

// with formats the spread with the given number of decimals.
func (s spread) with(decimals int) string {
	return fmt.Sprintf("%.*f (%.*f–%.*f)", decimals, s.median, decimals, s.low, decimals, s.high)
}
