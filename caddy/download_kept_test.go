package caddyesign_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

func TestDownloadsOutliveReloads(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		f := newFixture(t)
		o := f.serving(newOrders(1000))
		o.stopAt("middle")
		f.startH2C(localSite)
		caller := f.newLeaver(protocol, "DELETE", download("x"), "")
		<-o.reached
		caller.leave()
		f.noticed(goesOn, "x", 1)
		o.stopAt("")
		// The download is kept for another configuration too. Caddy drops the old
		// configuration when it believes that its requests have ended.
		reloaded := make(chan error, 1)
		config := adapt(t, f.caddyfile("header X-Config second\n"+strings.Replace(localSite, "callers local", "callers local\nrequest_buffer 2MiB", 1)))
		go func() { reloaded <- caddy.Load(config, true) }()
		eventually(t, func() bool { return f.do("GET", download("y"), "").Header.Get("X-Config") == "second" })
		o.goOn <- struct{}{}
		if err := <-reloaded; err != nil {
			t.Fatal(err)
		}
		f.noticed(isKept, "x", 1)
		f.servesAgain(o, "x")
		f.start(localSite)
		f.do("DELETE", download("x"), "").is(200)
		if n := f.deletes(); n != 0 {
			t.Errorf("upstream saw %d more downloads", n)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestMetricsAndLogOfDownloads(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	o.stopAt("middle")
	admin := ports.Address(t)
	config := strings.Replace(f.caddyfile(localSite), "admin off", "admin "+admin, 1)
	f.load(adapt(t, config))
	metric := func(name string) float64 {
		t.Helper()
		res, err := http.Get("http://" + admin + "/metrics") //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "caddy_bankid_esign_"+name+" "); ok {
				v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
		}
		t.Fatalf("there is no metric %s", name)
		return 0
	}
	interrupted, over := metric(`download_events_total{event="interrupted"}`), metric(`download_events_total{event="handed_over"}`)
	caller := f.newLeaver("h1", "DELETE", download("secret-order"), "")
	<-o.reached
	caller.leave()
	f.noticed(goesOn, "secret-order", 1)
	o.goOn <- struct{}{}
	f.noticed(isKept, "secret-order", 1)
	f.servesAgain(o, "secret-order")
	f.noticed(handedOver, "secret-order", 1)
	if d := metric(`download_events_total{event="interrupted"}`) - interrupted; d != 1 {
		t.Errorf("%v downloads were interrupted, want 1", d)
	}
	if d := metric(`download_events_total{event="handed_over"}`) - over; d != 1 {
		t.Errorf("%v downloads were handed over, want 1", d)
	}
	if n, size := metric("downloads_in_memory"), metric("download_memory_bytes"); n != 1 || size < 1000 || size > 10_000 {
		t.Errorf("%v downloads of %v bytes are in memory", n, size)
	}
	for _, message := range []string{goesOn, isKept, handedOver} {
		line := f.downloadLog(message, "secret-order")[0]
		if strings.Contains(line, "secret-order") || !strings.Contains(line, `"api":"signdoc"`) {
			t.Errorf("the log says %s", line)
		}
		if message != goesOn && !strings.Contains(line, `"bytes":1000`) {
			t.Errorf("the log says %s", line)
		}
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestDownloadsLeaveNoGoroutine(t *testing.T) {
	f := newFixture(t)
	f.start("respond ok")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	o := f.serving(newOrders(1000))
	o.stopAt("middle")
	f.start(localSite)
	caller := f.newLeaver("h1", "DELETE", download("x"), "")
	<-o.reached
	caller.leave()
	f.noticed(goesOn, "x", 1)
	o.goOn <- struct{}{}
	f.noticed(isKept, "x", 1)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(f.logged(), "download lost") {
		t.Error("the log does not say that a document went with the gateway")
	}
	f.issuer.Close()
	f.upstream.CloseClientConnections()
	f.upstream.Close()
	caller.transport.CloseIdleConnections()
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh")) // Caddy's, which ends after seconds
}
