package caddyesign

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"
)

// clockSkew is a gauge of the difference of clocks. Like those of Caddy itself,
// it outlives a configuration, and is put into the registry of each.
var clockSkew = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Namespace: "caddy",
	Subsystem: "bankid_esign",
	Name:      "clock_skew_seconds",
	Help:      "By how much the clock of the OpenID provider is ahead of this machine's, by its last answer to a token request.",
}, []string{"client"})

// registerMetrics puts the metrics into the registry of a configuration.
func registerMetrics(ctx caddy.Context) error {
	registry := ctx.GetMetricsRegistry()
	if registry == nil {
		return nil
	}
	for _, collector := range []prometheus.Collector{clockSkew, rescuedAnswers, heldAnswerCount, heldAnswerBytes} {
		err := registry.Register(collector)
		if _, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); !ok && err != nil {
			return err
		}
	}
	return nil
}
