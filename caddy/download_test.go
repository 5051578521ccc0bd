package caddyesign_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// The caller leaves during one of the stages of the server's response.
func TestCallerLeavesWhileTheServerResponds(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		for _, chunked := range []bool{false, true} {
			f := newFixture(t)
			o := f.serving(newOrders(100_000))
			o.chunked = chunked
			f.startH2C(localSite)
			for _, test := range []struct{ stage, body string }{
				{"header", ""}, {"header", "{}"}, {"start", ""}, {"middle", ""}, {"end", ""},
			} {
				signID := fmt.Sprintf("%s-%t-%s-%d", protocol, chunked, test.stage, len(test.body))
				t.Run(signID, func(t *testing.T) {
					f.in(t)
					o.stopAt(test.stage)
					caller := f.newLeaver(protocol, "DELETE", download(signID), test.body)
					<-o.reached
					caller.leave()
					f.noticed(goesOn, signID, 1)
					o.goOn <- struct{}{}
					f.noticed(isKept, signID, 1)
					f.servesAgain(o, signID)
					f.noticed(handedOver, signID, 1)
				})
			}
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
}

// The caller leaves while the gateway hands the download over. It is too large
// for the kernel's buffers.
func TestCallerLeavesDuringTheTransfer(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		f := newFixture(t)
		o := f.serving(newOrders(20 << 20))
		f.startH2C(localSite)
		for _, test := range []struct {
			stage string
			read  int
		}{{"header", 0}, {"middle", 10 << 20}} {
			signID := protocol + "-" + test.stage
			t.Run(signID, func(t *testing.T) {
				f.in(t)
				caller := f.newLeaver(protocol, "DELETE", download(signID), "")
				res := <-caller.response
				if _, err := io.CopyN(io.Discard, res.Body, int64(test.read)); err != nil {
					t.Fatal(err)
				}
				caller.leave()
				res.Body.Close()
				f.noticed(isKept, signID, 1)

				// The next transfer breaks off as well, but not the one after it.
				caller = f.newLeaver(protocol, "DELETE", download(signID), "")
				res = <-caller.response
				caller.leave()
				res.Body.Close()
				f.noticed(isKept, signID, 2)
				f.servesAgain(o, signID)
			})
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// A caller that stops reading but keeps its connection delays nobody: neither the
// server, nor itself when it comes back.
func TestStuckCallerDelaysNobody(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		f := newFixture(t)
		o := f.serving(newOrders(20 << 20))
		f.startH2C(localSite)
		caller := f.newLeaver(protocol, "DELETE", download("x"), "")
		res := <-caller.response // it reads no further
		f.servesAgain(o, "x")
		caller.leave()
		res.Body.Close()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// A caller that crashes at the end of the transfer has got nothing, although everything
// was written to it.
func TestCallerLeavesAfterTheTransfer(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	f.start(localSite)
	for i, path := range []string{"/v1/signdoc/pades", "/signdoc/pades", "/v1/timestamp/pades/lta"} {
		target := path + "?sign_id=order-" + strconv.Itoa(i)
		for range 3 {
			if got := f.do("DELETE", target, "").is(200).body; !bytes.Equal(got, o.document("order-"+strconv.Itoa(i))) {
				t.Errorf("%s: %d bytes came", path, len(got))
			}
		}
		if n := f.deletes(); n != 1 {
			t.Errorf("%s: upstream saw %d downloads, want 1", path, n)
		}
	}
	// These calls are for another API, or with another method.
	f.do("DELETE", "/v1/timestamp/pades/lta?sign_id=order-0", "").is(404)
	f.do("GET", download("order-0"), "").is(404)
	if n := f.deletes(); n != 1 {
		t.Errorf("upstream saw %d downloads, want 1", n)
	}
}

func TestSecondDownloadWaitsForTheFirst(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	o.stopAt("header")
	f.start(localSite)
	first := f.newLeaver("h1", "DELETE", download("x"), "")
	<-o.reached
	second := f.newLeaver("h1", "DELETE", download("x"), "")
	impatient := f.newLeaver("h1", "DELETE", download("x"), "")
	// A call for another order does not wait.
	o.stopAt("")
	f.do("DELETE", download("y"), "").is(200)
	impatient.leave()
	if res, ok := <-impatient.response; ok {
		t.Errorf("its status is %d", res.StatusCode)
	}
	first.leave()
	f.noticed(goesOn, "x", 1)
	o.goOn <- struct{}{}
	res := <-second.response
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 200 || err != nil || !bytes.Equal(body, o.document("x")) {
		t.Errorf("the second caller got %d and %d bytes, %v", res.StatusCode, len(body), err)
	}
	f.upstream.seen()
	f.do("DELETE", download("x"), "").is(200)
	if n := f.deletes(); n != 0 {
		t.Errorf("upstream saw %d more downloads", n)
	}
}

// A download that is kept can be handed over without a token and without the server.
func TestDownloadIsHandedOverInAnOutage(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(1000))
	f.start(oneAPISite(f))
	f.do("DELETE", download("x"), "").is(200)
	f.issuer.Close()
	f.upstream.CloseClientConnections()
	f.upstream.Close()
	f.servesAgain(o, "x")
}

// A download from memory passes through the same handlers again.
func TestHandlersAroundSeeADownloadFromMemory(t *testing.T) {
	f := newFixture(t)
	o := f.serving(newOrders(10_000))
	f.start(`encode {
		minimum_length 1
		match status 200
	}
	header >X-Late late
	header X-Early early
	` + strings.Replace(localSite, "UPSTREAM", "UPSTREAM\nheader_down X-Operator set", 1))
	first := f.do("DELETE", download("x"), "", "Accept-Encoding", "gzip").is(200)
	second := f.do("DELETE", download("x"), "", "Accept-Encoding", "gzip").is(200)
	plain := f.do("DELETE", download("x"), "").is(200)
	// How the content is divided may differ, and so may the compressed form.
	for _, response := range []*response{first, second} {
		reader, err := gzip.NewReader(bytes.NewReader(response.body))
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(reader); err != nil || !bytes.Equal(content, o.document("x")) || response.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("gzipped, the response has %d bytes, %v", len(content), err)
		}
	}
	if !bytes.Equal(plain.body, o.document("x")) || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("plain, the response has %d bytes", len(plain.body))
	}
	for _, response := range []*response{first, second, plain} {
		for name, want := range map[string]string{"X-Late": "late", "X-Early": "early", "X-Operator": "set", "Via": "1.1 Caddy", "Server": ""} {
			if got := response.Header.Values(name); len(got) > 1 || response.Header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	if n := f.deletes(); n != 1 {
		t.Errorf("upstream saw %d downloads, want 1", n)
	}
}

// A response of the operator instead of BankID's error is not kept: the document may
// still be there.
func TestResponseOfTheOperatorIsNotKept(t *testing.T) {
	f := newFixture(t).start(strings.Replace(localSite, "UPSTREAM", `UPSTREAM
		@away status 503
		handle_response @away {
			respond "try again later" 200
		}`, 1))
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for range 2 {
		if got := f.do("DELETE", download("x"), "").is(200); string(got.body) != "try again later" {
			t.Errorf("the response is %q", got.body)
		}
	}
	if n := len(f.upstream.seen()); n != 2 {
		t.Errorf("the API saw %d calls, want 2", n)
	}
	f.upstream.handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("document")) })
	for range 2 {
		if got := f.do("DELETE", download("x"), "").is(200); string(got.body) != "document" {
			t.Errorf("the response is %q", got.body)
		}
	}
	if n := len(f.upstream.seen()); n != 1 {
		t.Errorf("the API saw %d calls, want 1", n)
	}
}
