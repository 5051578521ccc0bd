package caddyesign

import (
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// A downloadLog logs and counts what becomes of a download. Its fields identify the
// order in a form that cannot be used to ask for it, and show nothing of the content.
type downloadLog []zap.Field

// detached logs that the caller has left during the call.
func (l downloadLog) detached(logger *zap.Logger) {
	logger.With(l...).Info("download goes on without its caller")
}

// tooLong logs that the response does not fit into the memory for downloads.
func (l downloadLog) tooLong(logger *zap.Logger) {
	downloadEvents.WithLabelValues(downloadTooLarge).Inc()
	logger.With(l...).Info("download not kept: it does not fit")
}

// ended logs how a transfer of d has ended. first is whether the call for d was made
// for that transfer.
func (l downloadLog) ended(logger *zap.Logger, d *download.Download, outcome download.Outcome, first bool) {
	switch {
	case outcome == download.Delivered && !first:
		downloadEvents.WithLabelValues(downloadHandedOver).Inc()
		l.of(d, logger).Info("download handed over")
	case outcome == download.Interrupted:
		downloadEvents.WithLabelValues(downloadInterrupted).Inc()
		l.of(d, logger).Info("download kept: its transfer broke off")
	case outcome == download.Lost:
		l.expired(logger, d)
	}
}

// Expired implements download.Observer. The handler of the call may be gone.
func (l downloadLog) Expired(d *download.Download) { l.expired(caddy.Log(), d) }

// expired logs that d is lost, since its time is over.
func (l downloadLog) expired(logger *zap.Logger, d *download.Download) {
	downloadEvents.WithLabelValues(downloadExpired).Inc()
	l.of(d, logger).Warn("download expired: its last transfer broke off, and nobody came for it")
}

// Closed implements download.Observer.
func (l downloadLog) Closed(d *download.Download) {
	l.of(d, caddy.Log()).Warn("download lost: the gateway stops")
}

// of returns a logger for events about d.
func (l downloadLog) of(d *download.Download, logger *zap.Logger) *zap.Logger {
	return logger.With(l...).With(zap.Int64("bytes", d.Length()))
}

// Interface guard
var _ download.Observer = downloadLog(nil)
