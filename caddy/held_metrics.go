package caddyesign

import "github.com/prometheus/client_golang/prometheus"

// What became of answers that are the only copy.
const (
	resultHeld       = "held"
	resultHandedOver = "handed_over"
	resultExpired    = "expired"
	resultTooLarge   = "too_large"
)

// Metrics of the answers that are held. Like those of Caddy itself, they outlive
// a configuration.
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

// A counter that is not there until something happens hides the first time.
func init() {
	for _, result := range []string{resultHeld, resultHandedOver, resultExpired, resultTooLarge} {
		rescuedAnswers.WithLabelValues(result)
	}
}
