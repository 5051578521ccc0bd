package itest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// A prometheus is a running Prometheus that scrapes one gateway, with the alert rules of
// ../ops.
type prometheus struct{ url string }

// series is one result of a query.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  sample            `json:"value"`  // of a query at one time
	Values []sample          `json:"values"` // of a query over a range
}

// A sample is a value at a time in Unix seconds.
type sample struct{ at, value float64 }

// UnmarshalJSON reads what the API writes as [1435781451.781, "1"].
func (s *sample) UnmarshalJSON(data []byte) error {
	var value string
	if err := json.Unmarshal(data, &[]any{&s.at, &value}); err != nil {
		return err
	}
	var err error
	s.value, err = strconv.ParseFloat(value, 64)
	return err
}

// prometheus3 returns the path of Prometheus 3, since Debian's package has version 2. It
// builds the module ../../.ci/prometheus, without service discovery, and Go's cache keeps it.
func prometheus3(t *testing.T, program string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-n", program)
	cmd.Dir = "../../.ci/prometheus"
	cmd.Env = append(os.Environ(), "GOFLAGS=-tags=remove_all_sd")
	cmd.Stderr = t.Output()
	path, err := cmd.Output()
	if err != nil {
		t.Fatalf("building %s: %v", program, err)
	}
	return strings.TrimSpace(string(path))
}

// startPrometheus runs Prometheus until the test ends: Debian's, or version 3, which
// scrapes native histograms. It scrapes the metrics of the gateway twice a second.
func startPrometheus(t *testing.T, gatewayURL string, native bool) *prometheus {
	t.Helper()
	target, err := url.Parse(gatewayURL)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("../ops/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	program, scrape := "prometheus", ""
	if native {
		program, scrape = prometheus3(t, program), "    scrape_native_histograms: true\n"
	}
	dir, addr := t.TempDir(), ports.Address(t)
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `global:
  scrape_interval: 500ms
  scrape_timeout: 500ms
  evaluation_interval: 500ms
rule_files: [%q]
scrape_configs:
  - job_name: gateway
    static_configs:
      - targets: [%q]
%s`, rules, target.Host, scrape), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, //nolint:noctx // ended below
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("Debian's package prometheus has it: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("Prometheus ended with %v", err)
		}
	})
	p := &prometheus{url: "http://" + addr}
	eventually(t, func() bool {
		res, err := http.Get(p.url + "/-/ready") //nolint:noctx // a test
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p
}

// ask calls the HTTP API and decodes the data of the response into data.
func (p *prometheus) ask(t *testing.T, path string, params url.Values, data any) {
	t.Helper()
	res, err := http.Get(p.url + path + "?" + params.Encode()) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	response := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(res.Body).Decode(&response); err != nil {
		t.Fatalf("%s %v: %v", path, params, err)
	}
	if response.Status != "success" {
		t.Fatalf("%s %v: %s", path, params, response.Error)
	}
}

// query evaluates a PromQL expression now.
func (p *prometheus) query(t *testing.T, expr string) []series {
	t.Helper()
	var data struct{ Result []series }
	p.ask(t, "/api/v1/query", url.Values{"query": {expr}}, &data)
	return data.Result
}

// queryRange evaluates a PromQL expression at every step of a range.
func (p *prometheus) queryRange(t *testing.T, expr string, from, to time.Time, step time.Duration) []series {
	t.Helper()
	unix := func(at time.Time) string { return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64) }
	var data struct{ Result []series }
	p.ask(t, "/api/v1/query_range", url.Values{
		"query": {expr}, "start": {unix(from)}, "end": {unix(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	}, &data)
	return data.Result
}

// eventually waits until done reports true.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not come to pass")
		}
	}
}
