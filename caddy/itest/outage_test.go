package itest

import (
	"flag"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

var (
	outageSpeed = flag.Float64("outage.speed", 20, "how many times faster than with tokens of 300 seconds TestOutage runs")
	outagePlot  = flag.String("outage.plot", "", "the file that TestOutage writes its plot to")
)

// TestOutage runs a gateway through an outage of BankID OIDC of two minutes, with tokens of
// five minutes, and watches it with Prometheus, as an operator does. At the default speed,
// both times are shorter in proportion. This makes the plot in ../ops:
//
//	go test -run TestOutage -outage.speed 1 -outage.plot ../ops/outage.svg -timeout 20m .
func TestOutage(t *testing.T) {
	scaled := func(d time.Duration) time.Duration { return time.Duration(float64(d) / *outageSpeed) }
	life := scaled(300 * time.Second)
	began := time.Now()
	var down atomic.Bool
	var issued atomic.Int64 // when the last token was issued, in Unix nanoseconds
	w := startWatched(t, func(res http.ResponseWriter, req *http.Request) {
		if down.Load() {
			res.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		issued.Store(time.Now().UnixNano())
		tokenauthtest.WriteToken(res, "token", life.Seconds())
	})
	prom := startPrometheus(t, w.url, false)

	var callers sync.WaitGroup
	stop := make(chan struct{})
	statuses := make(map[int]int)
	callers.Go(func() {
		tick := time.NewTicker(max(scaled(time.Second), 50*time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				statuses[w.call("GET", "/v1/signdoc/pades?sign_id=1")]++
			}
		}
	})
	left := func() float64 {
		result := prom.query(t, `caddy_bankid_esign_token_expires_seconds{client="default"}`)
		if len(result) == 0 {
			return -1
		}
		return result[0].Value.value
	}
	start := time.Now()
	eventually(t, func() bool { return left() > 0 })
	// The outage begins shortly before the token is renewed. If Prometheus took long to
	// start, that may be a later token.
	for at := int64(0); at != issued.Load(); {
		at = issued.Load()
		<-time.After(time.Until(time.Unix(0, at).Add(scaled(200 * time.Second))))
	}
	// There is one token for each of two clients, and a renewal after at least 70 % of a
	// life.
	most := 2 + 2*int(time.Since(began)/(life*7/10))
	if n := len(w.issuer.TokenRequests()); n > most {
		t.Errorf("%d token requests before the outage, want at most %d", n, most)
	}
	from := time.Now()
	down.Store(true)
	<-time.After(time.Until(from.Add(scaled(120 * time.Second))))
	if left() != 0 {
		t.Error("there is a token at the end of the outage")
	}
	down.Store(false)
	to := time.Now()
	eventually(t, func() bool { return left() > 0 })
	back := time.Since(to)
	<-time.After(time.Until(to.Add(scaled(60 * time.Second))))
	close(stop)
	callers.Wait()
	end := time.Now()

	t.Logf("responses by status: %v; a token again after %v", statuses, back)
	if statuses[http.StatusServiceUnavailable] == 0 || statuses[http.StatusOK] == 0 || len(statuses) != 2 {
		t.Errorf("responses by status: %v, want 200 and 503", statuses)
	}
	if back > 12*time.Second {
		t.Errorf("there was a token again after %v, want no more than the longest step of the back-off", back)
	}
	if *outagePlot == "" {
		return
	}
	step := max(scaled(time.Second), 500*time.Millisecond)
	span := "[" + (4 * step).String() + "]"
	rate := func(by, selector string) []series {
		return prom.queryRange(t, "sum by ("+by+") (rate("+selector+span+"))", start, end, step)
	}
	plot := newPlot(start, end, from, to)
	plot.add("Life left of the token (s)", "",
		prom.queryRange(t, `caddy_bankid_esign_token_expires_seconds{client="default"}`, start, end, step))
	plot.add("Failed attempts to obtain one, in a row", "",
		prom.queryRange(t, `caddy_bankid_esign_token_failed_attempts{client="default"}`, start, end, step))
	plot.add("Calls with a token (per second)", "state", rate("state", `caddy_bankid_esign_tokens_served_total{client="default"}`))
	plot.add("Calls that the gateway refused (per second)", "status", rate("status", `caddy_bankid_esign_refusals_total{client="default"}`))
	if err := os.WriteFile(*outagePlot, plot.svg(), 0o600); err != nil {
		t.Fatal(err)
	}
}
