package caddyesign_test

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A scrape contains the gateway's metrics at one time: the values, by name and labels
// as written.
type scrape map[string]float64

// sample matches a line of the text format.
var sample = regexp.MustCompile(`^(caddy_bankid_esign_\S+?(?:\{.*\})?) (\S+)$`)

// startMeasured loads a configuration with an admin endpoint, and returns that
// endpoint's address.
func (f *fixture) startMeasured(site string) string {
	f.t.Helper()
	admin := ports.Address(f.t)
	config := strings.Replace(f.caddyfile(site), "admin off", "admin "+admin, 1)
	f.load(adapt(f.t, config))
	return admin
}

// scrapeText reads the metrics from an admin endpoint.
func scrapeText(t *testing.T, admin string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(roundTrip(t, req).is(200).body)
}

// newScrape reads the gateway's metrics from an admin endpoint.
func newScrape(t *testing.T, admin string) scrape {
	t.Helper()
	s := make(scrape)
	for line := range strings.Lines(scrapeText(t, admin)) {
		match := sample.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			continue
		}
		value, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		s[match[1]] = value
	}
	return s
}

// grew asserts by how much metrics have grown since before. It waits, since some are
// counted only after the response. Only growth counts, since earlier tests use
// the same process.
func grew(t *testing.T, admin string, before scrape, want map[string]float64) scrape {
	t.Helper()
	var now scrape
	differ := func() (differences []string) {
		now = newScrape(t, admin)
		for name, by := range want {
			name = "caddy_bankid_esign_" + name
			if got := now[name] - before[name]; got != by {
				differences = append(differences, fmt.Sprintf("%s grew by %v, want %v", name, got, by))
			}
		}
		return differences
	}
	for deadline := time.Now().Add(30 * time.Second); len(differ()) > 0; {
		if time.Now().After(deadline) {
			t.Fatal(strings.Join(differ(), "\n"))
		}
		runtime.Gosched()
	}
	return now
}

// earlier returns the metrics from earlier tests in the process.
func (f *fixture) earlier() scrape {
	f.t.Helper()
	return newScrape(f.t, f.startMeasured("respond ok"))
}

func TestMetricsOverReloadsAndSeveralHandlers(t *testing.T) {
	f := newFixture(t)
	f.app = `client second {
		client_id second-client
		client_secret {file.` + f.secret + `}
	}`
	site := `handle /v1/signdoc/* {
		bankid_esign signdoc {
			callers local
			client second
			upstream signdoc ` + f.upstream.URL + `
		}
	}
	handle {
		bankid_esign csc timestamp {
			callers local
			upstream csc ` + f.upstream.URL + `
			upstream timestamp ` + f.upstream.URL + `
		}
	}`
	before := f.earlier()
	admin := f.startMeasured(site)
	for range 3 {
		f.do("GET", path, "").is(200)
		f.do("GET", path, "").is(200)
		f.do("POST", "/csc/v2/oauth2/token", "{}").is(200)
		f.do("GET", "/nowhere", "").is(404)
		admin = f.startMeasured(site)
	}
	after := grew(t, admin, before, map[string]float64{
		`refusals_total{client="default",reason="http_request_denied",status="404"}`: 3,
	})
	served := func(client, api string) float64 {
		sum := 0.0
		for _, state := range []string{"fresh", "stale", "waited"} {
			name := fmt.Sprintf(`caddy_bankid_esign_tokens_served_total{api=%q,client=%q,state=%q}`, api, client, state)
			sum += after[name] - before[name]
		}
		return sum
	}
	for _, test := range []struct {
		client, api string
		want        float64
	}{{"second", "signdoc", 6}, {"default", "csc", 3}, {"default", "timestamp", 0}} {
		if got := served(test.client, test.api); got != test.want {
			t.Errorf("%v tokens were served to %s of %s, want %v", got, test.api, test.client, test.want)
		}
	}
	for _, name := range []string{
		`token_requests_total{client="second",code="",result="success"}`,
		`token_request_duration_seconds_count{client="second"}`,
		`token_request_duration_seconds_bucket{client="second",le="+Inf"}`,
	} {
		if after["caddy_bankid_esign_"+name] < 1 {
			t.Errorf("%s is %v", name, after["caddy_bankid_esign_"+name])
		}
	}
	for name, inside := range map[string]func(float64) bool{
		`token_expires_seconds{client="second",scope="esign"}`:        func(v float64) bool { return v > 200 && v <= 270 },
		`token_expires_seconds{client="default",scope="esign/csc"}`:   func(v float64) bool { return v > 200 && v <= 270 },
		`token_failed_attempts{client="second",scope="esign"}`:        func(v float64) bool { return v == 0 },
		`waiting_callers{client="second",scope="esign"}`:              func(v float64) bool { return v == 0 },
		`discovery_age_seconds`:                                       func(v float64) bool { return v >= 0 && v < 60 },
		`clock_skew_seconds{client="second"}`:                         func(v float64) bool { return v == 0 },
		`retries_total{api="csc",client="default",reason="rejected"}`: func(v float64) bool { return v >= 0 },
	} {
		if value, ok := after["caddy_bankid_esign_"+name]; !ok || !inside(value) {
			t.Errorf("%s is %v, %v", name, value, ok)
		}
	}
}

func TestMetricsOfFailuresRejectionsAndRefusals(t *testing.T) {
	f := newFixture(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		tokenauthtest.WriteError(w, http.StatusUnauthorized, "invalid_client")
	})
	f.app = "client failing {\nclient_id failing-client\nclient_secret {file." + f.secret + "}\n}"
	site := func(client string) string {
		return "bankid_esign signdoc {\ncallers local\nclient " + client + "\nupstream signdoc " + f.upstream.URL + "\n}"
	}
	before := f.earlier()
	admin := f.startMeasured(site("failing"))
	f.do("GET", path, "").is(502)
	f.do("GET", path, "").is(502)
	s := grew(t, admin, before, map[string]float64{
		`token_requests_total{client="failing",code="invalid_client",result="refused"}`:    1,
		`refusals_total{client="failing",reason="proxy_configuration_error",status="502"}`: 2,
		`token_expires_seconds{client="failing",scope="esign"}`:                            0,
		`token_failed_attempts{client="failing",scope="esign"}`:                            1,
		`tokens_served_total{api="signdoc",client="failing",state="waited"}`:               0,
	})
	if _, ok := s[`caddy_bankid_esign_token_expires_seconds{client="failing",scope="esign"}`]; !ok {
		t.Error("without a token, nothing is said of its expiry: no alert could be raised on that")
	}

	f.issuer.HandleToken(nil)
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	f.app = "client rejected {\nclient_id rejected-client\nclient_secret {file." + f.secret + "}\n}"
	before = f.earlier()
	admin = f.startMeasured(site("rejected"))
	f.do("GET", path, "").is(401)
	s = grew(t, admin, before, map[string]float64{
		`rejections_total{api="signdoc",client="rejected",status="401"}`:     2,
		`retries_total{api="signdoc",client="rejected",reason="rejected"}`:   1,
		`retries_total{api="signdoc",client="rejected",reason="retry"}`:      0,
		`token_requests_total{client="rejected",code="",result="success"}`:   2,
		`tokens_served_total{api="signdoc",client="rejected",state="stale"}`: 0,
	})
	if _, ok := s[`caddy_bankid_esign_token_expires_seconds{client="failing",scope="esign"}`]; ok {
		t.Error("a source that is no longer configured is still measured")
	}
}

func TestMetricsOfATransportInOnesOwnReverseProxy(t *testing.T) {
	f := newFixture(t)
	f.app = "client bare {\nclient_id bare-client\nclient_secret {file." + f.secret + "}\n}"
	before := f.earlier()
	admin := f.startMeasured(`reverse_proxy ` + f.upstream.URL + ` {
		transport bankid_esign {
			api signdoc
			client bare
			upstream ` + f.upstream.URL + `
		}
	}`)
	f.do("GET", path, "").is(200)
	f.do("GET", "/nowhere", "").is(404)
	grew(t, admin, before, map[string]float64{
		`refusals_total{client="bare",reason="http_request_denied",status="404"}`: 1,
		`token_requests_total{client="bare",code="",result="success"}`:            1,
	})
}

func TestMetricsOfNonces(t *testing.T) {
	f := newB2B(t)
	f.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("DPoP-Nonce", "as-1")
		if n := len(f.issuer.TokenRequests()); n == 1 {
			tokenauthtest.WriteError(w, http.StatusBadRequest, "use_dpop_nonce")
			return
		}
		tokenauthtest.WriteJSON(w, 200, map[string]any{"access_token": "t", "token_type": "DPoP", "expires_in": 300})
	})
	first := true
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) {
		if first {
			first = false
			w.Header().Set("DPoP-Nonce", "rs-1")
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
			w.WriteHeader(401)
		}
	})
	before := f.earlier()
	admin := f.startMeasured(f.b2bSite(""))
	f.do("POST", "/v0/b2b/ades/pades", "{}").is(200)
	grew(t, admin, before, map[string]float64{
		`dpop_nonce_retries_total{client="b2b",endpoint="b2b"}`:   1,
		`dpop_nonce_retries_total{client="b2b",endpoint="token"}`: 1,
	})
}

func TestMetricsOfWaitingCallers(t *testing.T) {
	f := newFixture(t)
	release := make(chan struct{})
	f.issuer.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		tokenauthtest.WriteToken(w, "token", 300)
	})
	admin := f.startMeasured(strings.Replace(oneAPI, "UPSTREAM_URL", f.upstream.URL, 1))
	done := make(chan struct{})
	for range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			res, err := http.Get(f.url + path) //nolint:noctx // a test
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
		}()
	}
	const waiting = `caddy_bankid_esign_waiting_callers{client="default",scope="esign"}`
	eventually(t, func() bool { return newScrape(t, admin)[waiting] == 2 })
	close(release)
	<-done
	<-done
	if got := newScrape(t, admin)[waiting]; got != 0 {
		t.Errorf("%v callers are waiting", got)
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	f := newFixture(t)
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	admin := f.startMeasured(localSite)
	f.do("GET", path, "").is(401)
	f.do("GET", "/nowhere", "").is(404)
	var own strings.Builder
	families := 0
	for line := range strings.Lines(scrapeText(t, admin)) {
		// The linter compares each series with every other one, and other tests may
		// have had thousands of clients.
		others := strings.Contains(line, `client="`) && !strings.Contains(line, `client="default"`)
		if strings.Contains(line, "caddy_bankid_esign_") && !others {
			own.WriteString(line)
			if strings.HasPrefix(line, "# TYPE") {
				families++
			}
		}
	}
	if families < 11 {
		t.Errorf("only %d metrics have a value", families)
	}
	problems, err := promlint.New(strings.NewReader(own.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestDurationIsANativeHistogramToo(t *testing.T) {
	f := newFixture(t)
	admin := f.startMeasured(localSite)
	f.do("GET", path, "").is(200)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	response := roundTrip(t, req).is(200)
	decoder := expfmt.NewDecoder(bytes.NewReader(response.body), expfmt.ResponseFormat(response.Header))
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); err != nil {
			t.Fatalf("the histogram was not found: %v", err)
		}
		if family.GetName() != "caddy_bankid_esign_token_request_duration_seconds" {
			continue
		}
		h := family.GetMetric()[0].GetHistogram()
		if len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) == 0 {
			t.Errorf("there are %d native and %d classic buckets", len(h.GetPositiveSpan()), len(h.GetBucket()))
		}
		return
	}
}
