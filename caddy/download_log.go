package caddyesign

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"
)

// A downloadLog logs and counts what becomes of a download. Its fields identify the
// order in a form that cannot be used to ask for it, and show nothing of the content.
type downloadLog struct {
	logger *zap.Logger // of the handler
	fields []zap.Field
}

// downloadMessages says what is logged and counted about downloads.
var downloadMessages = map[download.Event]struct {
	level   zapcore.Level
	label   string // of the metric; empty if it is not counted
	message string
}{
	download.GoesOn:      {zap.InfoLevel, "", "download goes on without its caller"},
	download.Interrupted: {zap.InfoLevel, "interrupted", "download kept: its transfer broke off"},
	download.HandedOver:  {zap.InfoLevel, "handed_over", "download handed over"},
	download.NoRoom:      {zap.InfoLevel, "too_large", "download not kept: it does not fit"},
	download.LargeHeader: {zap.WarnLevel, "large_header", "download not kept: its header is too large"},
	download.Unframed:    {zap.WarnLevel, "unframed", "download not kept: the API does not say where it ends"},
	download.TooMany:     {zap.WarnLevel, "too_many", "download ended with its caller: too many go on already"},
	download.Idle:        {zap.WarnLevel, "idle", "download ended: its caller has left, and nothing came any more"},
	download.Broken:      {zap.WarnLevel, "broken", "download broke off: the API did not send all of it"},
	download.Unmarked:    {zap.InfoLevel, "unmarked", "download begins without a mark in the storage: if this gateway is killed meanwhile, no gateway logs the loss"},
	download.Unstored:    {zap.WarnLevel, "unstored", "downloads are kept in memory only: the storage does not work"},
	download.Stored:      {zap.InfoLevel, "", "downloads are kept in the storage again"},
	download.Unreadable:  {zap.WarnLevel, "unreadable", "download broke off: the storage does not return a part of it"},
	download.Lost:        {zap.WarnLevel, "lost", "download not kept: the storage has failed meanwhile"},
	download.Expired:     {zap.WarnLevel, "expired", "download expired: its last transfer broke off, and nobody came for it"},
	download.Underway:    {zap.WarnLevel, "underway", "download still comes while the gateway stops: if the process ends now, the document is lost"},
	download.Closed:      {zap.WarnLevel, "closed", "download lost: the gateway stops"},
}

// Observe implements download.Observer.
func (l downloadLog) Observe(d *download.Download, e download.Event, err error) {
	about := downloadMessages[e]
	if about.label != "" {
		downloadEvents.WithLabelValues(about.label).Inc()
	}
	logger := l.logger
	if e == download.Expired || e == download.Underway || e == download.Closed { // the handler may be gone
		logger = caddy.Log()
	}
	logger.With(l.fields...).With(zap.Int64("bytes", d.Length()), zap.Error(err)).Log(about.level, about.message)
}

// Interface guard
var _ download.Observer = downloadLog{}
