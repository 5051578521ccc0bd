package caddyesign

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// These are measured when the metrics are collected.
var (
	tokenExpires = prometheus.NewDesc(
		prometheus.BuildFQName(metricsNamespace, metricsSubsystem, "token_expires_seconds"),
		"For how long the token may still be sent; 0 if there is none.",
		[]string{"client", "scope"}, nil)

	tokenFailures = prometheus.NewDesc(
		prometheus.BuildFQName(metricsNamespace, metricsSubsystem, "token_failed_attempts"),
		"Attempts to obtain the token that have failed since the last success.",
		[]string{"client", "scope"}, nil)

	waitingCallers = prometheus.NewDesc(
		prometheus.BuildFQName(metricsNamespace, metricsSubsystem, "waiting_callers"),
		"Calls that wait for the token.",
		[]string{"client", "scope"}, nil)

	discoveryAge = prometheus.NewDesc(
		prometheus.BuildFQName(metricsNamespace, metricsSubsystem, "discovery_age_seconds"),
		"Age of the present copy of the OpenID provider's configuration.",
		nil, nil)
)

// sourceMetrics measures the sources of one configuration.
type sourceMetrics struct {
	mu      sync.Mutex
	sources []measuredSource
}

// measuredSource is a source with the label for its client.
type measuredSource struct {
	client string
	source *tokenauth.Source
}

// add adds the source of a client.
func (m *sourceMetrics) add(client string, source *tokenauth.Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources = append(m.sources, measuredSource{client, source})
}

// Describe implements prometheus.Collector.
func (m *sourceMetrics) Describe(descs chan<- *prometheus.Desc) {
	descs <- tokenExpires
	descs <- tokenFailures
	descs <- waitingCallers
	descs <- discoveryAge
}

// Collect implements prometheus.Collector.
func (m *sourceMetrics) Collect(metrics chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var discovered time.Time
	for _, s := range m.sources {
		status := s.source.Status()
		scope := strings.Join(status.Scopes, " ")
		gauge := func(desc *prometheus.Desc, value float64) {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, s.client, scope)
		}
		// ExpiresAt is zero if the source has no token.
		gauge(tokenExpires, max(time.Until(status.ExpiresAt).Seconds(), 0))
		gauge(tokenFailures, float64(status.Failures))
		gauge(waitingCallers, float64(status.Waiting))
		discovered = status.DiscoveredAt // all have the same provider
	}
	if !discovered.IsZero() {
		metrics <- prometheus.MustNewConstMetric(discoveryAge, prometheus.GaugeValue, time.Since(discovered).Seconds())
	}
}
