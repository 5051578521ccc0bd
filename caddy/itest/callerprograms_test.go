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

// callerPatience is after how long a caller gives up.
const callerPatience = 40 * time.Second

// A callerCall is what a caller is to do. body names a file, or nothing.
type callerCall struct{ version, method, url, body string }

// A callerAnswer is what a caller has seen. Its status is 0 if that is an error,
// of which body is the text then.
type callerAnswer struct {
	status      int
	proxyStatus string
	body        []byte
}

// A caller is a program that calls the gateway, or a way of writing one.
type caller struct {
	name     string
	versions []string // of HTTP over TLS: "1", "2"
	call     func(callerCall) callerAnswer
}

// startCallers starts the callers, which trust ca, a PEM file.
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
		{"curl", both, func(c callerCall) callerAnswer { return callByCurl(t, ca, c) }},
		{"Go `net/http`", both, callByGo(t, config)},
	}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

// A program makes calls, each a line of its standard input, and writes a line
// for each answer.
type program struct {
	cmd   *exec.Cmd
	lines *bufio.Reader

	mu      sync.Mutex
	stdin   io.WriteCloser
	last    int
	waiting map[string]chan callerAnswer
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
	p := &program{cmd: cmd, lines: bufio.NewReader(stdout), stdin: stdin, waiting: make(map[string]chan callerAnswer)}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill() // calls may still be under way
		_ = cmd.Wait()
	})
	return p
}

// await reports whether the next line is the one given, and goes on to read
// answers.
func (p *program) await(line string) bool {
	read, err := p.lines.ReadString('\n')
	if err != nil || strings.TrimSpace(read) != line {
		return false
	}
	go func() {
		for {
			line, err := p.lines.ReadString('\n')
			if err != nil {
				return // it has ended
			}
			p.deliver(strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		}
	}()
	return true
}

// deliver hands an answer to the call that waits for it.
func (p *program) deliver(fields []string) {
	if len(fields) != 4 {
		return
	}
	status, _ := strconv.Atoi(fields[1])
	body, _ := base64.StdEncoding.DecodeString(fields[3])
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting := p.waiting[fields[0]]; waiting != nil {
		waiting <- callerAnswer{status, fields[2], body}
		delete(p.waiting, fields[0])
	}
}

// as returns what makes calls as one of the callers that the program knows.
func (p *program) as(name string) func(callerCall) callerAnswer {
	return func(c callerCall) callerAnswer {
		answer := make(chan callerAnswer, 1)
		p.mu.Lock()
		p.last++
		id := strconv.Itoa(p.last)
		p.waiting[id] = answer
		_, err := fmt.Fprintf(p.stdin, "%s\t%s\t%s\t%s\t%s\t%s\n", id, name, c.version, c.method, c.url, c.body)
		p.mu.Unlock()
		if err != nil {
			return callerAnswer{body: []byte(err.Error())}
		}
		select {
		case a := <-answer:
			return a
		case <-time.After(callerPatience + 10*time.Second):
			return callerAnswer{body: []byte("no answer from the program")}
		}
	}
}

// callByCurl makes a call with curl.
func callByCurl(t *testing.T, ca string, c callerCall) callerAnswer {
	dir, err := os.MkdirTemp(t.TempDir(), "curl")
	if err != nil {
		return callerAnswer{body: []byte(err.Error())}
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
		// A script sees that it failed, whatever it printed.
		return callerAnswer{body: fmt.Appendf(nil, "%v: %s (%s)", err, stderr.Bytes(), stdout.Bytes())}
	}
	code, proxyStatus, _ := strings.Cut(stdout.String(), "\t")
	status, _ := strconv.Atoi(code)
	content, _ := os.ReadFile(body) // there is none without a body
	return callerAnswer{status, proxyStatus, content}
}

// callByGo returns what makes calls with net/http.
func callByGo(t *testing.T, config *tls.Config) func(callerCall) callerAnswer {
	clients := make(map[string]*http.Client)
	for version, http2 := range map[string]bool{"1": false, "2": true} {
		transport := &http.Transport{TLSClientConfig: config.Clone(), Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(true)
		transport.Protocols.SetHTTP2(http2)
		t.Cleanup(transport.CloseIdleConnections)
		clients[version] = &http.Client{Transport: transport}
	}
	return func(c callerCall) callerAnswer {
		answer, err := callWith(t.Context(), clients[c.version], c)
		if err != nil {
			return callerAnswer{body: []byte(err.Error())}
		}
		return answer
	}
}

func callWith(ctx context.Context, client *http.Client, c callerCall) (answer callerAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, callerPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, nil)
	if err != nil {
		return answer, err
	}
	if c.body != "" {
		body, err := os.ReadFile(c.body)
		if err != nil {
			return answer, err
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return answer, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return callerAnswer{res.StatusCode, res.Header.Get("Proxy-Status"), body}, err
}
