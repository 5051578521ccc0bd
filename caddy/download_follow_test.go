package caddyesign_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// The caller gets the first part while the API still sends, and so does a second caller,
// which also gets the rest if the first one leaves.
func TestDownloadIsPassedOnWhileItComes(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		for _, chunked := range []bool{false, true} {
			f := newFixture(t)
			o := f.serving(newOrders(100_000))
			o.chunked = chunked
			o.stopAt("middle")
			f.startH2C(localSite)
			first := f.newLeaver(protocol, "DELETE", download("x"), "")
			<-o.reached
			second := f.newLeaver(protocol, "DELETE", download("x"), "")
			part := make([]byte, 50_000)
			a, b := <-first.response, <-second.response
			for _, res := range []*http.Response{a, b} {
				if _, err := io.ReadFull(res.Body, part); err != nil || !bytes.Equal(part, o.document("x")[:50_000]) {
					t.Errorf("a caller got something else: %v", err)
				}
				if length := int64(100_000); !chunked && res.ContentLength != length || chunked && res.ContentLength >= 0 {
					t.Errorf("Content-Length is %d", res.ContentLength)
				}
			}
			first.leave()
			a.Body.Close()
			f.noticed(goesOn, "x", 1)
			o.goOn <- struct{}{}
			rest, err := io.ReadAll(b.Body)
			b.Body.Close()
			if err != nil || !bytes.Equal(rest, o.document("x")[50_000:]) {
				t.Errorf("the second caller got %d bytes more, %v", len(rest), err)
			}
			f.servesAgain(o, "x")
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
}

// The codings that a caller accepts do not count: a later caller may not accept them.
func TestDownloadIsAskedForInIdentity(t *testing.T) {
	f := newFixture(t)
	f.serving(newOrders(1000))
	f.start(localSite)
	f.do("DELETE", download("x"), "", "Accept-Encoding", "gzip, br").is(200)
	f.do("GET", download("y"), "", "Accept-Encoding", "gzip")
	seen := f.upstream.seen()
	if got := seen[0].Header.Values("Accept-Encoding"); len(got) != 1 || got[0] != "identity" {
		t.Errorf("the download accepts %q", got)
	}
	if got := seen[1].Header.Get("Accept-Encoding"); got != "gzip" {
		t.Errorf("another call accepts %q", got)
	}
}

func TestTrailersOfDownloadsAreKept(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		f := newFixture(t)
		o := f.serving(newOrders(0))
		o.respondWith(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Digest")
			_, _ = io.WriteString(w, "document")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("X-Digest", "abc")
			w.Header().Set(http.TrailerPrefix+"X-Late", "def")
		})
		f.startH2C(localSite)
		for range 2 {
			res := <-f.newLeaver(protocol, "DELETE", download("x"), "").response
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if string(body) != "document" || err != nil || res.Trailer.Get("X-Digest") != "abc" || res.Trailer.Get("X-Late") != "def" {
				t.Errorf("the caller got %q, %v, with the trailer %v", body, err, res.Trailer)
			}
		}
		if n := f.deletes(); n != 1 {
			t.Errorf("upstream saw %d downloads, want 1", n)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// If the API's response breaks off, each caller sees that.
func TestCallersSeeThatADownloadBrokeOff(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		for _, chunked := range []bool{false, true} {
			f := newFixture(t)
			o := f.serving(newOrders(0))
			reached, goOn := make(chan struct{}, 1), make(chan struct{})
			o.respondWith(func(w http.ResponseWriter, _ *http.Request) {
				if !chunked {
					w.Header().Set("Content-Length", "5")
				}
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				reached <- struct{}{}
				<-goOn
				panic(http.ErrAbortHandler)
			})
			f.startH2C(localSite)
			first := f.newLeaver(protocol, "DELETE", download("x"), "")
			<-reached
			second := f.newLeaver(protocol, "DELETE", download("x"), "")
			responses := []*http.Response{<-first.response, <-second.response}
			close(goOn)
			for _, res := range responses {
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if string(body) != "half" || err == nil {
					t.Errorf("%s, chunked is %t: a caller got %q, %v", protocol, chunked, body, err)
				}
			}
			f.noticed("download broke off", "x", 1)
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A response that ends with its connection may not be whole, and is not kept.
func TestDownloadThatEndsWithItsConnectionIsNotKept(t *testing.T) {
	f := newFixture(t)
	api := closing(t, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndocument")
	f.start("bankid_esign signdoc {\ncallers local\nupstream signdoc " + api + "\n}")
	for n := range 2 {
		if got := f.do("DELETE", download("x"), "").is(200); string(got.body) != "document" {
			t.Errorf("the caller got %q", got.body)
		}
		f.noticed("download not kept: the API does not say where it ends", "x", n+1)
	}
}

// closing returns the URL of a server that closes each connection after its response.
func closing(t *testing.T, response string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(conn, response)
			conn.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

// Over HTTP/1.0, a caller cannot tell that content without a length broke off. So it gets
// nothing before the content is whole.
func TestDownloadOverHTTP10IsWholeOrNothing(t *testing.T) {
	f := newFixture(t)
	var broken atomic.Bool
	broken.Store(true)
	f.upstream.handler = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half of a document"))
		_ = http.NewResponseController(w).Flush()
		if broken.Load() {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte(" and the rest"))
	}
	f.start(localSite)
	for _, want := range []string{"", "half of a document and the rest"} {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "DELETE "+download("x")+" HTTP/1.0\r\nHost: "+f.addr+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := bytes.Cut(got, []byte("\r\n\r\n"))
		if string(body) != want || (want == "") != (len(got) == 0) {
			t.Errorf("the caller got %q, not %q", got, want)
		}
		broken.Store(false)
	}
}
