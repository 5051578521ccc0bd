package caddyesign

import "github.com/prometheus/client_golang/prometheus"

// These are the results for answers that are the only copy.
const (
	resultHeld       = "held"
	resultHandedOver = "handed_over"
	resultExpired    = "expired"
	resultTooLarge   = "too_large"
)

// These metrics describe held answers. Like Caddy's own metrics, they outlive a
// configuration.
var (
	rescuedAnswers = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "rescued_answers_total",
		Help:      "Counter of answers that are the only copy: held because their transfer broke off, handed over to a later call, expired before any transfer was complete, or too large to be held.",
	}, []string{"result"})
	heldAnswerCount = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "held_answers",
		Help:      "Number of answers in memory that are the only copy, including those that were handed over.",
	})
	heldAnswerBytes = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "held_bytes",
		Help:      "Memory taken up or reserved for answers that are the only copy.",
	})
)

// The counters start at 0: the first event would be missed if its counter began at 1.
func init() {
	for _, result := range []string{resultHeld, resultHandedOver, resultExpired, resultTooLarge} {
		rescuedAnswers.WithLabelValues(result)
	}
}
