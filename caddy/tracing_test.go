package caddyesign_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A traceServer receives spans by OTLP over HTTP.
type traceServer struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*otlp.Span
}

// newTraceServer starts a server that receives the spans of Caddy's tracing.
func newTraceServer(t *testing.T) *traceServer {
	s := new(traceServer)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	return s
}

// ServeHTTP implements http.Handler.
func (s *traceServer) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var export collector.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err != nil || proto.Unmarshal(body, &export) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range export.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			s.spans = append(s.spans, scope.GetSpans()...)
		}
	}
}

// named returns the spans with that name.
func (s *traceServer) named(name string) []*otlp.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.spans), func(span *otlp.Span) bool { return span.GetName() != name })
}

func TestWaitForATokenIsASpan(t *testing.T) {
	traces := newTraceServer(t)
	f := newFixture(t)
	release := make(chan struct{})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		tokenauthtest.WriteToken(w, plantedToken, 300)
	})
	a := f.startAdmin("tracing {\nspan call\n}\n" + strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	go func() {
		a.waitFor(1) // a token is requested before any call
		close(release)
	}()
	for range 3 {
		f.do("GET", path, "").is(200)
	}
	eventually(t, func() bool { return len(traces.named("call")) == 3 })
	waits := traces.named("bankid_esign.token_wait")
	if len(waits) != 1 {
		t.Fatalf("%d spans of a wait, want 1: only the first of three calls waits", len(waits))
	}
	calls, wait := traces.named("call"), waits[0]
	first := slices.IndexFunc(calls, func(call *otlp.Span) bool {
		return hex.EncodeToString(call.GetSpanId()) == hex.EncodeToString(wait.GetParentSpanId())
	})
	if first < 0 {
		t.Fatal("the wait belongs to none of the calls")
	}
	if call := calls[first]; wait.GetStartTimeUnixNano() < call.GetStartTimeUnixNano() || wait.GetEndTimeUnixNano() > call.GetEndTimeUnixNano() {
		t.Errorf("the wait from %d to %d is not within the call from %d to %d",
			wait.GetStartTimeUnixNano(), wait.GetEndTimeUnixNano(), call.GetStartTimeUnixNano(), call.GetEndTimeUnixNano())
	}
	attributes := make(map[string]string)
	for _, attribute := range wait.GetAttributes() {
		attributes[attribute.GetKey()] = attribute.GetValue().GetStringValue()
	}
	if len(attributes) != 2 || attributes["bankid_esign.client"] != "default" || attributes["bankid_esign.api"] != "signdoc" {
		t.Errorf("its attributes are %v", attributes)
	}
	if wait.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("its status is %v", wait.GetStatus())
	}
	showsNone(t, "a span", wait.String())

	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	f.app = "timeout 3s" // the changed option makes another source
	f.start("tracing {\nspan call\n}\n" + strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	f.do("GET", path, "").is(503)
	eventually(t, func() bool { return len(traces.named("bankid_esign.token_wait")) == 2 })
	if status := traces.named("bankid_esign.token_wait")[1].GetStatus(); status.GetCode() != otlp.Status_STATUS_CODE_ERROR || status.GetMessage() == "" {
		t.Errorf("the status of a wait in vain is %v", status)
	}
}
