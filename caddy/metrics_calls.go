package caddyesign

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// These are names for OpenTelemetry.
const (
	tracerName   = "github.com/esigngateway/caddy-bankid-esign/caddy"
	waitSpanName = "bankid_esign.token_wait"
)

// rejectedEvery is the shortest time between two log lines that an API refuses the
// token.
const rejectedEvery = time.Minute

// callObserver counts the calls of one transport, and traces how long they wait for a
// token.
type callObserver struct {
	client string
	apis   map[string]*observedAPI
	logger *zap.Logger
}

// An observedAPI has the counters of one API that most calls use, to save their
// look-up.
type observedAPI struct {
	fresh, stale, waited prometheus.Counter
	rejected             rate.Sometimes // limits the log line
}

// newCallObserver returns the observer of a client's calls of apis.
func newCallObserver(client string, apis []string, logger *zap.Logger) *callObserver {
	o := &callObserver{client: clientLabel(client), apis: make(map[string]*observedAPI, len(apis)), logger: logger}
	for _, api := range apis {
		o.apis[api] = &observedAPI{
			rejected: rate.Sometimes{Interval: rejectedEvery},
			fresh:    tokensServed.WithLabelValues(o.client, api, "fresh"),
			stale:    tokensServed.WithLabelValues(o.client, api, "stale"),
			waited:   tokensServed.WithLabelValues(o.client, api, "waited"),
		}
		// The counters exist from the start, so that monitoring sees the step from 0 to
		// 1.
		retries.WithLabelValues(o.client, api, string(gateway.ReasonRejected))
		retries.WithLabelValues(o.client, api, string(gateway.ReasonProxy))
		retries.WithLabelValues(o.client, api, string(gateway.ReasonUnprocessed))
	}
	return o
}

// Served implements gateway.Observer.
func (o *callObserver) Served(api string, state tokenauth.State) {
	switch served := o.apis[api]; state {
	case tokenauth.StateFresh:
		served.fresh.Inc()
	case tokenauth.StateStale:
		served.stale.Inc()
	default:
		served.waited.Inc()
	}
}

// Waited implements gateway.Observer.
func (o *callObserver) Waited(ctx context.Context, api string, start time.Time, err error) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return
	}
	_, span := parent.TracerProvider().Tracer(tracerName).Start(ctx, waitSpanName,
		trace.WithTimestamp(start),
		trace.WithAttributes(attribute.String("bankid_esign.client", o.client), attribute.String("bankid_esign.api", api)))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Rejected implements gateway.Observer.
func (o *callObserver) Rejected(api string, status int) {
	rejections.WithLabelValues(o.client, api, strconv.Itoa(status)).Inc()
	o.apis[api].rejected.Do(func() {
		o.logger.Warn("the API refuses the access token", zap.String("client", o.client), zap.String("api", api), zap.Int("status", status))
	})
}

// Retried implements gateway.Observer.
func (o *callObserver) Retried(api string, reason gateway.Reason) {
	if reason == gateway.ReasonNonce {
		nonceRetries.WithLabelValues(o.client, api).Inc()
		return
	}
	retries.WithLabelValues(o.client, api, string(reason)).Inc()
}

// Interface guards
var (
	_ gateway.Observer     = (*callObserver)(nil)
	_ prometheus.Collector = (*sourceMetrics)(nil)
)
