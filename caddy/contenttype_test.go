package caddyesign_test

import (
	"fmt"
	"net/http"
	"testing"
)

// A response without a Content-Type reaches the caller without one, however its content is
// framed, and also when it was kept.
func TestNoContentTypeIsInvented(t *testing.T) {
	for _, kind := range []string{"length", "chunked", "flushed"} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t)
			f.upstream.handle(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = nil
				if r.URL.Query().Has("typed") {
					w.Header().Set("Content-Type", "application/x-typed")
				}
				const content = "<html><body>text"
				if kind == "length" {
					w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				}
				if kind == "flushed" {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = w.Write([]byte(content))
			})
			f.start(localSite + `
			handle_errors {
				respond "text"
			}`)
			for range 10 { // the second download is what was kept
				for _, call := range [][2]string{{"GET", path}, {"POST", path}, {"DELETE", download("x")}} {
					if values, ok := f.do(call[0], call[1], "").is(200).Header["Content-Type"]; ok {
						t.Errorf("%s: Content-Type is %q", call[0], values)
					}
				}
			}
			if got := f.do("GET", path+"&typed", "").is(200).Header["Content-Type"]; len(got) != 1 || got[0] != "application/x-typed" {
				t.Errorf("Content-Type is %q", got)
			}
			if got := f.do("GET", "/unknown", "").is(404).Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type of an error page is %q", got)
			}
		})
	}
}
