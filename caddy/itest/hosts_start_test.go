package itest

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// hostFiles are the files with the certificate of the hosts.
type hostFiles struct{ cert, key, keystore string }

// hostCertificate makes the certificate of the hosts.
func hostCertificate(t *testing.T) (tls.Certificate, hostFiles) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "host"}, // Java demands a name
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := hostFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "keystore.p12")}
	for file, block := range map[string]*pem.Block{files.cert: {Type: "CERTIFICATE", Bytes: der}, files.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output(t, ".", "openssl", "pkcs12", "-export", "-in", files.cert, "-inkey", files.key, "-out", files.keystore, "-passout", "pass:changeit")
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, files
}

// output runs a program to its end, and returns its output.
func output(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// startHosts runs all hosts until the test ends.
func startHosts(t *testing.T, cert tls.Certificate, files hostFiles) []*host {
	t.Helper()
	node, jetty := startNode(t, files), startJetty(t, files)
	nginx := startNginx(t, files)
	return []*host{
		startGo(t, cert, "h1", 0), startGo(t, cert, "h1, TLS", 0), startGo(t, cert, "h2", 250), startGo(t, cert, "h2, 1 stream", 1), startGo(t, cert, "h2, 5 streams", 5),
		node("h1", "http", 0), node("h1, TLS", "https", 0), node("h2", "http2", 100), node("h2, 1 stream", "http2", 1), node("h2, 5 streams", "http2", 5),
		jetty("h1", "http", 0), jetty("h1, TLS", "https", 0), jetty("h2", "http2", 128), jetty("h2, 1 stream", "http2", 1), jetty("h2, 5 streams", "http2", 5),
		nginx("h1", "", 1000, 128), nginx("h1, TLS", "ssl", 1000, 128), nginx("h2", "ssl http2", 1000, 128),
		nginx("h2, GOAWAY after 10 calls", "ssl http2", 10, 128), nginx("h2, GOAWAY after 100 calls", "ssl http2", 100, 128),
		nginx("h2, 1 stream", "ssl http2", 1000, 1), nginx("h2, 5 streams", "ssl http2", 1000, 5),
	}
}

// startHostProgram runs a host that prints its version when it listens, and ends with its
// standard input.
func startHostProgram(t *testing.T, program string, args ...string) (version string) {
	t.Helper()
	cmd := exec.Command(program, args...) //nolint:noctx // ended below
	cmd.Dir = "hosts"
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v", program, err)
		}
	})
	if _, err := fmt.Fscanln(stdout, &version); err != nil {
		t.Fatalf("%s says nothing: %v", program, err)
	}
	return strings.TrimPrefix(version, "v")
}

// hostAt returns a host that serves its counts itself.
func hostAt(name, speaks, addr string) *host {
	scheme := "https://"
	if speaks == "h1" {
		scheme = "http://"
	}
	// The table does not have patch versions, which change often.
	name = regexp.MustCompile(`(\d+\.\d+)\.\d+$`).ReplaceAllString(name, "$1")
	return &host{name: name, speaks: speaks, origin: scheme + addr, counts: scheme + addr + "/counts"}
}

// startNode returns a function that runs Node.
func startNode(t *testing.T, files hostFiles) func(speaks, kind string, streams int) *host {
	return func(speaks, kind string, streams int) *host {
		addr := ports.Address(t)
		_, port, _ := net.SplitHostPort(addr)
		version := startHostProgram(t, "node", "host.mjs", kind, port, files.cert, files.key, strconv.Itoa(max(streams, 1)))
		major, _, _ := strings.Cut(version, ".")
		return hostAt("Node "+major, speaks, addr)
	}
}

// startJetty returns a function that runs Jetty.
func startJetty(t *testing.T, files hostFiles) func(speaks, kind string, streams int) *host {
	t.Helper()
	list := filepath.Join(t.TempDir(), "classpath")
	output(t, "hosts", "mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile="+list)
	classpath, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	// It is compiled once for all hosts.
	classes := t.TempDir()
	output(t, "hosts", "javac", "-cp", string(classpath), "-d", classes, "Host.java")
	return func(speaks, kind string, streams int) *host {
		addr := ports.Address(t)
		_, port, _ := net.SplitHostPort(addr)
		version := startHostProgram(t, "java", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", classes+":"+string(classpath), "Host", kind, port, files.keystore, strconv.Itoa(max(streams, 1)))
		h := hostAt("Jetty "+version, speaks, addr)
		h.resets = kind != "http2"
		return h
	}
}

// startNginx returns a function that runs nginx in front of a host in Go, which counts.
func startNginx(t *testing.T, files hostFiles) func(speaks, listen string, requests, streams int) *host {
	t.Helper()
	_, version, _ := strings.Cut(strings.TrimSpace(output(t, ".", "nginx", "-v")), "nginx/")
	return func(speaks, listen string, requests, streams int) *host {
		behind := httptest.NewServer(new(goHost))
		t.Cleanup(behind.Close)
		addr, dir := ports.Address(t), t.TempDir()
		config := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(config, fmt.Appendf(nil, `
pid %[1]s/pid;
error_log %[1]s/error.log;
worker_processes 1;
user root; # or it could not write its files
daemon off;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	map $arg_sign_id $early { default 0; ~^early413 413; ~^early401 401; }
	server {
		listen %[2]s %[3]s;
		ssl_certificate %[4]s;
		ssl_certificate_key %[5]s;
		keepalive_requests %[6]d;
		http2_max_concurrent_streams %[7]d;
		client_max_body_size 30m;
		proxy_next_upstream off;
		proxy_hide_header X-Content-Length;
		proxy_hide_header X-Transfer-Encoding;
		add_header X-Content-Length $http_content_length always;
		add_header X-Transfer-Encoding $http_transfer_encoding always;
		if ($early = 413) { return 413; }
		if ($early = 401) { return 401; }
		location / { proxy_pass %[8]s; }
	}
}
`, dir, addr, listen, files.cert, files.key, requests, streams, behind.URL), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("nginx", "-c", config, "-e", filepath.Join(dir, "error.log")) //nolint:noctx // ended below
		cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatalf("Debian's package nginx-light has it: %v", err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("nginx ended with %v", err)
			}
		})
		eventually(t, func() bool {
			conn, err := net.Dial("tcp", addr) //nolint:noctx // a test
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		h := hostAt("nginx "+version, speaks, addr)
		h.counts = behind.URL + "/counts"
		return h
	}
}

// A goHost is an API host in Go.
type goHost struct {
	mu   sync.Mutex
	seen map[string]int
}

// startGo runs a host in Go.
func startGo(t *testing.T, cert tls.Certificate, speaks string, streams int) *host {
	t.Helper()
	server := httptest.NewUnstartedServer(new(goHost))
	if speaks == "h1" {
		server.Start()
	} else {
		server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		server.EnableHTTP2 = streams > 0
		server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
		server.StartTLS()
	}
	t.Cleanup(server.Close)
	h := hostAt("Go "+strings.TrimPrefix(runtime.Version(), "go"), speaks, server.Listener.Addr().String())
	if streams == 0 {
		h.idle = func(*testing.T) {
			server.Config.SetKeepAlivesEnabled(false)
			server.Config.SetKeepAlivesEnabled(true)
		}
	}
	return h
}

// ServeHTTP responds as the comment of host says.
func (h *goHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("sign_id")
	h.mu.Lock()
	if r.URL.Path == "/counts" {
		for call, n := range h.seen {
			fmt.Fprintln(w, call, n)
		}
		h.mu.Unlock()
		return
	}
	if h.seen == nil {
		h.seen = make(map[string]int)
	}
	h.seen[r.Method+" "+id]++
	h.mu.Unlock()
	w.Header().Set("X-Content-Length", r.Header.Get("Content-Length"))
	if r.ContentLength > 0 || r.Header.Get("Content-Length") != "" {
		w.Header().Set("X-Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	w.Header().Set("X-Transfer-Encoding", strings.Join(r.TransferEncoding, ", "))
	if status, found := strings.CutPrefix(id, "early"); found {
		code, _ := strconv.Atoi(status)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "early")
		return
	}
	length, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Length", strconv.FormatInt(length, 10))
	const text = `{"error":"invalid_request"}`
	switch {
	case strings.HasPrefix(id, "gzip"):
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusBadRequest)
		coded := gzip.NewWriter(w)
		_, _ = io.WriteString(coded, text)
		_ = coded.Close()
	case strings.HasPrefix(id, "deflate"):
		w.Header().Set("Content-Encoding", "deflate")
		w.WriteHeader(http.StatusBadRequest)
		coded := zlib.NewWriter(w)
		_, _ = io.WriteString(coded, text)
		_ = coded.Close()
	case strings.HasPrefix(id, "down"):
		_, _ = w.Write(bytes.Repeat([]byte("x"), hostDocument))
	default:
		_, _ = io.WriteString(w, "ok")
	}
}
