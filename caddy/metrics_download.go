package caddyesign

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// These are the events that are counted for downloads.
const (
	downloadInterrupted = "interrupted"
	downloadHandedOver  = "handed_over"
	downloadExpired     = "expired"
	downloadTooLarge    = "too_large"
)

// These metrics describe downloads. Like Caddy's own metrics, they outlive a
// configuration.
var (
	downloadEvents = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace,
		Subsystem: metricsSubsystem,
		Name:      "download_events_total",
		Help:      "Counter of downloads that were interrupted, and kept; handed over to a later call; expired before any transfer was complete; or too large to be kept.",
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
	for _, event := range []string{downloadInterrupted, downloadHandedOver, downloadExpired, downloadTooLarge} {
		downloadEvents.WithLabelValues(event)
	}
}

// downloadStore keeps downloads until the last configuration that uses it has gone.
type downloadStore struct{ *download.Store }

// newDownloadStore returns an empty store.
func newDownloadStore() downloadStore {
	return downloadStore{&download.Store{Changed: func(downloads int, bytes int64) {
		downloadsInMemory.Add(float64(downloads))
		downloadMemory.Add(float64(bytes))
	}}}
}

// Destruct implements caddy.Destructor.
func (s downloadStore) Destruct() error {
	s.Close()
	return nil
}
