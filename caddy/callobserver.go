package caddyesign

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// Names of OpenTelemetry.
const (
	tracerName   = "github.com/esigngateway/caddy-bankid-esign/caddy"
	waitSpanName = "bankid_esign.token_wait"
)

// callObserver counts the calls of one transport, and traces what they wait for.
type callObserver struct {
	client string
	served map[string]servedCounters // by API
}

// servedCounters are the counters of one API that most calls use.
type servedCounters struct{ fresh, stale, waited prometheus.Counter }

// newCallObserver returns the observer of a client's calls of apis.
func newCallObserver(client string, apis []string) *callObserver {
	o := &callObserver{client: clientLabel(client), served: make(map[string]servedCounters, len(apis))}
	for _, api := range apis {
		o.served[api] = servedCounters{
			fresh:  tokensServed.WithLabelValues(o.client, api, "fresh"),
			stale:  tokensServed.WithLabelValues(o.client, api, "stale"),
			waited: tokensServed.WithLabelValues(o.client, api, "waited"),
		}
		// So that the first one is seen to be one more than none.
		replays.WithLabelValues(o.client, api, string(tokenauth.RepeatRejected))
		replays.WithLabelValues(o.client, api, string(tokenauth.RepeatRetry))
	}
	return o
}

// Served implements tokenauth.Observer.
func (o *callObserver) Served(api string, state tokenauth.State) {
	switch served := o.served[api]; state {
	case tokenauth.StateFresh:
		served.fresh.Inc()
	case tokenauth.StateStale:
		served.stale.Inc()
	default:
		served.waited.Inc()
	}
}

// Waited implements tokenauth.Observer.
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

// Rejected implements tokenauth.Observer.
func (o *callObserver) Rejected(api string, status int) {
	rejections.WithLabelValues(o.client, api, strconv.Itoa(status)).Inc()
}

// Repeated implements tokenauth.Observer.
func (o *callObserver) Repeated(api string, reason tokenauth.Repeat) {
	if reason == tokenauth.RepeatNonce {
		nonceRepeats.WithLabelValues(o.client, api).Inc()
		return
	}
	replays.WithLabelValues(o.client, api, string(reason)).Inc()
}

// Interface guards
var (
	_ tokenauth.Observer   = (*callObserver)(nil)
	_ prometheus.Collector = (*sourceMetrics)(nil)
)
