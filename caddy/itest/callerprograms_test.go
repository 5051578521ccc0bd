package itest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// callerPatience is the time limit of a caller. It is long, since all of them send 30 MiB at
// the same time, and the machine may have other work.
const callerPatience = 3 * time.Minute

// A callerCall is a call for a caller to make. body names a file, or is "".
type callerCall struct{ version, method, url, body string }

// A callerResponse is the response that a caller has seen. If the caller has an error
// instead, status is 0 and body is the text of the error.
type callerResponse struct {
	status      int
	proxyStatus string
	body        []byte
}

// A caller is a program that calls the gateway, or one of its HTTP clients.
type caller struct {
	name     string
	versions []string // of HTTP over TLS: "1", "2"
	call     func(callerCall) callerResponse
}

// startCallers starts the callers. They trust ca, a PEM file.
func startCallers(t *testing.T, ca string, config *tls.Config) []caller {
	t.Helper()
	java := startProgram(t, exec.Command("java", "-cp", "../../.cache/callers/java/*", filepath.Join("callers", "Callers.java"), ca, seconds(callerPatience)))
	python := exec.Command("python3", filepath.Join("callers", "callers.py"), ca, seconds(callerPatience))
	python.Env = append(os.Environ(), "PYTHONPATH=../../.cache/callers/python")
	py := startProgram(t, python)
	node := exec.Command("node", filepath.Join("callers", "callers.mjs"), seconds(callerPatience))
	node.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	js := startProgram(t, node)
	for _, p := range []*program{java, py, js} {
		if !p.await("ready") {
			t.Fatalf("%v is not ready; .ci/run installs what it needs", p.cmd.Args)
		}
	}
	both := []string{"1", "2"}
	return []caller{
		{"Java `HttpClient`", both, java.as("jdk")},
		{"Spring `RestClient`", both, java.as("spring")},
		{"Python requests", []string{"1"}, py.as("requests")},
		{"Python httpx", both, py.as("httpx")},
		{"Node.js `fetch`", []string{"1"}, js.as("fetch")},
		{"curl", both, func(c callerCall) callerResponse { return callByCurl(t, ca, c) }},
		{"Go `net/http`", both, callByGo(t, config)},
	}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

// A program makes a call for each line of its standard input, and writes a line for each
// response.
type program struct {
	cmd   *exec.Cmd
	lines *bufio.Reader

	mu      sync.Mutex
	stdin   io.WriteCloser
	last    int
	waiting map[string]chan callerResponse
}

// startProgram runs cmd until the test ends.
func startProgram(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	cmd.Stderr = os.Stderr
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
	p := &program{cmd: cmd, lines: bufio.NewReader(stdout), stdin: stdin, waiting: make(map[string]chan callerResponse)}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill() // calls may be in flight
		_ = cmd.Wait()
	})
	return p
}

// await reports whether the next line is the given line, and then goes on to read
// responses.
func (p *program) await(line string) bool {
	read, err := p.lines.ReadString('\n')
	if err != nil || strings.TrimSpace(read) != line {
		return false
	}
	go func() {
		for {
			line, err := p.lines.ReadString('\n')
			if err != nil {
				return // the program has ended
			}
			p.respond(strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		}
	}()
	return true
}

// respond passes a response to the call that waits for it.
func (p *program) respond(fields []string) {
	if len(fields) != 4 {
		return
	}
	status, _ := strconv.Atoi(fields[1])
	body, _ := base64.StdEncoding.DecodeString(fields[3])
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting := p.waiting[fields[0]]; waiting != nil {
		waiting <- callerResponse{status, fields[2], body}
		delete(p.waiting, fields[0])
	}
}

// as returns a function that makes calls with one of the program's HTTP clients.
func (p *program) as(name string) func(callerCall) callerResponse {
	return func(c callerCall) callerResponse {
		response := make(chan callerResponse, 1)
		p.mu.Lock()
		p.last++
		id := strconv.Itoa(p.last)
		p.waiting[id] = response
		_, err := fmt.Fprintf(p.stdin, "%s\t%s\t%s\t%s\t%s\t%s\n", id, name, c.version, c.method, c.url, c.body)
		p.mu.Unlock()
		if err != nil {
			return callerResponse{body: []byte(err.Error())}
		}
		select {
		case a := <-response:
			return a
		case <-time.After(callerPatience + time.Minute):
			return callerResponse{body: []byte("no response from the program")}
		}
	}
}

// callByCurl makes a call with curl.
func callByCurl(t *testing.T, ca string, c callerCall) callerResponse {
	dir, err := os.MkdirTemp(t.TempDir(), "curl")
	if err != nil {
		return callerResponse{body: []byte(err.Error())}
	}
	header, body := filepath.Join(dir, "header"), filepath.Join(dir, "body")
	args := []string{
		"--silent", "--show-error", "--cacert", ca, "--max-time", seconds(callerPatience), "--request", c.method,
		"--http" + map[string]string{"1": "1.1", "2": "2"}[c.version],
		"--header", "Content-Type: application/json", "--dump-header", header, "--output", body,
		"--write-out", "%{http_code}\t%header{proxy-status}", c.url,
	}
	if c.body != "" {
		args = append(args, "--data-binary", "@"+c.body)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "curl", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		// A script sees the exit status, also if curl printed a response.
		return callerResponse{body: fmt.Appendf(nil, "%v: %s (%s)", err, stderr.Bytes(), stdout.Bytes())}
	}
	code, proxyStatus, _ := strings.Cut(stdout.String(), "\t")
	status, _ := strconv.Atoi(code)
	content, _ := os.ReadFile(body) // without a body, there is no file
	return callerResponse{status, proxyStatus, content}
}

// callByGo returns a function that makes calls with net/http.
func callByGo(t *testing.T, config *tls.Config) func(callerCall) callerResponse {
	clients := make(map[string]*http.Client)
	for version, http2 := range map[string]bool{"1": false, "2": true} {
		transport := &http.Transport{TLSClientConfig: config.Clone(), Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(true)
		transport.Protocols.SetHTTP2(http2)
		t.Cleanup(transport.CloseIdleConnections)
		clients[version] = &http.Client{Transport: transport}
	}
	return func(c callerCall) callerResponse {
		response, err := callWith(t.Context(), clients[c.version], c)
		if err != nil {
			return callerResponse{body: []byte(err.Error())}
		}
		return response
	}
}

func callWith(ctx context.Context, client *http.Client, c callerCall) (response callerResponse, err error) {
	ctx, cancel := context.WithTimeout(ctx, callerPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, nil)
	if err != nil {
		return response, err
	}
	if c.body != "" {
		body, err := os.ReadFile(c.body)
		if err != nil {
			return response, err
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return response, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return callerResponse{res.StatusCode, res.Header.Get("Proxy-Status"), body}, err
}
