package caddyesign

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// These are the beginning of each metric's name.
const (
	metricsNamespace = "caddy"
	metricsSubsystem = "bankid_esign"
)

// histogramReset is the shortest time for which a native histogram keeps its
// resolution.
const histogramReset = time.Hour

// These metrics, like Caddy's own, outlive a configuration, and are registered with the
// registry of each configuration. Their labels have few values: names from the
// configuration, and constants.
var (
	tokenRequests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "token_requests_total",
		Help:      "Attempts to obtain a token, by result (success, shared if another server had obtained it, or the cause of the failure) and OAuth error code.",
	}, []string{"client", "result", "code"})

	tokenRequestDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace:                       metricsNamespace,
		Subsystem:                       metricsSubsystem,
		Name:                            "token_request_duration_seconds",
		Help:                            "How long attempts to obtain a token took, discovery included.",
		Buckets:                         prometheus.DefBuckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: histogramReset,
	}, []string{"client"})

	storageFailures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "storage_failures_total",
		Help:      "Failures of the storage that tokens are shared in, by kind: unreachable, slow, locked, changed, lost or too_large.",
	}, []string{"client", "kind"})

	tokensServed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "tokens_served_total",
		Help:      "Calls that got a token, by state: fresh, stale (renewed in the background), or waited for.",
	}, []string{"client", "api", "state"})

	rejections = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "rejections_total",
		Help:      "Responses of an API that refuse the token of a call, by status.",
	}, []string{"client", "api", "status"})

	retries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "retries_total",
		Help:      "Calls that were retried, by reason: rejected (with a new token) or retry (by the reverse proxy).",
	}, []string{"client", "api", "reason"})

	nonceRetries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "dpop_nonce_retries_total",
		Help:      "Requests that were retried because a server required its nonce in the DPoP proof, by endpoint: token, or the API.",
	}, []string{"client", "endpoint"})

	refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "refusals_total",
		Help:      "Error responses of the gateway itself, by proxy error type (RFC 9209) and status.",
	}, []string{"client", "reason", "status"})

	clockSkew = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "clock_skew_seconds",
		Help:      "By how much the clock of the OpenID provider is ahead of this machine's, by its last response with a time; no series without such a response.",
	}, []string{"client"})
)

// registerMetrics registers the metrics, and extra, which belong to this configuration
// alone, with the registry of the configuration.
func registerMetrics(ctx caddy.Context, extra ...prometheus.Collector) error {
	registry := ctx.GetMetricsRegistry()
	if registry == nil {
		return nil
	}
	for _, collector := range append(extra,
		tokenRequests, tokenRequestDuration, storageFailures, tokensServed, rejections, retries, nonceRetries, refusals, clockSkew,
		downloadEvents, downloadsInMemory, downloadMemory) {
		err := registry.Register(collector)
		if _, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); !ok && err != nil {
			return err
		}
	}
	return nil
}

// countAttempt counts an attempt to obtain a token.
func countAttempt(client string, e tokenauth.Event) {
	result, code := "success", ""
	switch {
	case e.Err != nil:
		result, code = e.Err.Cause.String(), e.Err.Code
	case e.Shared:
		result = "shared"
	}
	tokenRequests.WithLabelValues(client, result, code).Inc()
	if !e.Shared {
		tokenRequestDuration.WithLabelValues(client).Observe(e.Duration.Seconds())
	}
	if e.NonceWanted {
		nonceRetries.WithLabelValues(client, "token").Inc()
	}
	if e.Clock.Known {
		clockSkew.WithLabelValues(client).Set(e.Clock.Ahead.Seconds())
	} else {
		clockSkew.DeleteLabelValues(client) // the previous provider may have left a value
	}
}

// countRefusal counts an error that the gateway responds with. If the caller has left,
// there is no proxy error type, and a label of its own is used.
func countRefusal(client, kind string, status int) {
	if status == statusClientClosedRequest {
		kind = "caller_left"
	}
	refusals.WithLabelValues(clientLabel(client), kind, strconv.Itoa(status)).Inc()
}

// These metrics describe downloads. Like Caddy's own metrics, they outlive a
// configuration.
var (
	downloadEvents = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "download_events_total",
		Help:      "Counter of downloads that were interrupted, and kept; handed over to another call; not kept (too_large, large_header, unframed); ended without their caller (too_many, idle); broken off by the API (broken); or lost (unreadable, expired, closed, underway when Caddy stopped, cut_off with a gateway, or with a storage that failed: lost); and of failures of the storage (unstored), and calls without a mark there (unmarked).",
	}, []string{"event"})
	downloadsInMemory = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "downloads_in_memory",
		Help:      "Number of downloads in memory, including those that were handed over.",
	})
	downloadMemory = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "download_memory_bytes",
		Help:      "Memory taken up by downloads, or reserved for them.",
	})
)

// The counters start at 0: the first event would be missed if its counter began at 1.
func init() {
	downloadEvents.WithLabelValues(downloadCutOff)
	for _, about := range downloadMessages {
		if about.label != "" {
			downloadEvents.WithLabelValues(about.label)
		}
	}
}
