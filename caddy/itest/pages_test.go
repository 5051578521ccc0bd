package itest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"html/template"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

//go:embed pages.html
var pagesHTML string

// pages is a web server with pages that attack the gateway.
type pages struct {
	port     string
	reported chan map[string]string
	release  chan struct{}
}

// startPages serves pages that send their requests to target.
func startPages(t *testing.T, target string) *pages {
	t.Helper()
	site := &pages{reported: make(chan map[string]string, 1), release: make(chan struct{}, 1)}
	pageTemplate := template.Must(template.New("").Parse(pagesHTML))
	mux := http.NewServeMux()
	for _, name := range []string{"scripts", "link", "form"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			if err := pageTemplate.ExecuteTemplate(w, name, target+"&from="+r.FormValue("from")+"&probe="); err != nil {
				t.Error(err)
			}
		})
	}
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var outcomes map[string]string
		if err := json.NewDecoder(r.Body).Decode(&outcomes); err != nil {
			t.Error(err)
		}
		site.reported <- outcomes
		site.release <- struct{}{}
	})
	// While an image is missing, the page is loading and the browser stays open.
	mux.HandleFunc("GET /hold", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-site.release:
		case <-r.Context().Done():
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	_, site.port, _ = net.SplitHostPort(server.Listener.Addr().String())
	return site
}

// outcomes returns the outcomes that the page /scripts saw.
func (p *pages) outcomes(t *testing.T) map[string]string {
	t.Helper()
	select {
	case outcomes := <-p.reported:
		return outcomes
	default:
		t.Fatal("the page reported nothing")
		return nil
	}
}

// visit opens a page in Chromium and returns when it has loaded.
func (p *pages) visit(t *testing.T, page string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium",
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
		"--no-first-run", "--no-proxy-server", "--disable-background-networking",
		"--disable-component-update", "--disable-sync",
		"--host-resolver-rules=MAP evil.test 127.0.0.1",
		"--user-data-dir="+t.TempDir(), "--dump-dom", page)
	// Chromium has many processes. This ends all of them, in any case.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium %s: %v (Debian's package chromium is needed)\n%s", page, err, stderr.Bytes())
	}
}
