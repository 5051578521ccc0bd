package itest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A watched gateway has clients and APIs of every kind, and serves /metrics.
type watched struct {
	*gateway
	issuer   *tokenauthtest.Server
	rejects  atomic.Bool // whether the API rejects bearer tokens
	nonce    atomic.Bool // whether B2B demands a nonce
	upstream *httptest.Server
}

// startWatched runs a gateway with a scripted issuer, whose token endpoint is token, and a
// scripted API.
func startWatched(t *testing.T, token http.HandlerFunc) *watched {
	t.Helper()
	w := &watched{issuer: tokenauthtest.NewHTTPServer()}
	w.issuer.HandleToken(token)
	t.Cleanup(w.issuer.Close)
	w.upstream = httptest.NewServer(w)
	t.Cleanup(w.upstream.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	credentials := "client_secret {file." + secret + "}\n"
	w.gateway = startGateway(t,
		"issuer "+w.issuer.Issuer()+"\nclient_id app\n"+credentials+"client seal {\nclient_id seal\n"+credentials+"}",
		strings.ReplaceAll(`handle /metrics {
			metrics
		}
		handle /v0/b2b/* {
			bankid_esign b2b {
				client seal
				callers local
				upstream b2b UPSTREAM
			}
		}
		handle {
			bankid_esign signdoc {
				callers local
				upstream signdoc UPSTREAM
			}
		}`, "UPSTREAM", w.upstream.URL))
	return w
}

// ServeHTTP is the API.
func (w *watched) ServeHTTP(res http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	switch {
	case w.rejects.Load() && req.Header.Get("DPoP") == "":
		res.WriteHeader(http.StatusUnauthorized)
	case req.Header.Get("DPoP") != "" && w.nonce.Swap(false):
		res.Header().Set("DPoP-Nonce", "nonce")
		res.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		res.WriteHeader(http.StatusUnauthorized)
	}
}

// call makes a call and returns the status of the response, or 0 without a response.
func (w *watched) call(method, path string) int {
	req, err := http.NewRequest(method, w.url+path, http.NoBody) //nolint:noctx // a test
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func TestAlertRules(t *testing.T) {
	newer := prometheus3(t, "promtool")
	for _, args := range [][]string{
		{"promtool", "check", "rules", "alerts.yml"},
		{"promtool", "test", "rules", "alerts_test.yml"},
		{newer, "check", "rules", "alerts.yml"},
		{newer, "test", "rules", "alerts_test.yml", "alerts_native_test.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = "../ops"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	rules, err := os.ReadFile("../ops/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("../ops/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rules)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- alert: "); ok && !strings.Contains(string(tests), "alertname: "+name+"\n        exp_alerts:") {
			t.Errorf("no test raises %s", name)
		}
	}
}

// The README's configuration of Prometheus loads the rules, scrapes often enough, and has
// the job that a rule names.
func TestOpsReadmePrometheus(t *testing.T) {
	readme, err := os.ReadFile("../ops/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../ops/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, config, _ := strings.Cut(string(readme), "\n```yaml\n")
	config, _, found := strings.Cut(config, "```\n")
	if !found {
		t.Fatal("it shows none")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"prometheus.yml": config, "alerts.yml": string(rules)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "promtool", "check", "config", "prometheus.yml")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "12 rules found") {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	if !strings.Contains(config, "scrape_interval: 30s") || !strings.Contains(config, "evaluation_interval: 30s") {
		t.Errorf("its intervals are not said: %s", config)
	}
	for _, match := range regexp.MustCompile(`job="([^"]+)"`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(config, "job_name: "+match[1]+"\n") {
			t.Errorf("it has no job %s", match[1])
		}
	}
}

// dashboard is the tested part of a Grafana dashboard.
type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
	Templating struct{ List []struct{ Query string } }
}

// Every query of the dashboard and of the alerts runs on a Prometheus that has scraped a
// gateway with every kind of event, with both kinds of histograms.
func TestDashboardHasData(t *testing.T) {
	for name, native := range map[string]bool{"classic": false, "native": true} {
		t.Run(name, func(t *testing.T) { testDashboard(t, native) })
	}
}

// testDashboard tests the dashboard and the alerts on one kind of histograms.
func testDashboard(t *testing.T, native bool) {
	w := startWatched(t, nil)
	prom := startPrometheus(t, w.url, native)
	w.nonce.Store(true)
	happen := func() {
		w.call("GET", "/v1/signdoc/pades?sign_id=1")
		w.call("GET", "/nowhere")
		w.call("POST", "/v0/b2b/ades/pades")
	}
	happen()
	w.rejects.Store(true)
	happen()
	w.rejects.Store(false)
	scrapes := func() float64 {
		result := prom.query(t, `count_over_time(caddy_bankid_esign_rejections_total{api="signdoc"}[1m])`)
		if len(result) == 0 {
			return 0
		}
		return result[0].Value.value
	}
	eventually(t, func() bool { return scrapes() >= 4 })

	const histogram = "caddy_bankid_esign_token_request_duration_seconds"
	if classic := len(prom.query(t, histogram+"_bucket")) > 0; classic == native || len(prom.query(t, histogram)) > 0 != native {
		t.Fatalf("it has classic buckets: %t", classic)
	}

	file, err := os.ReadFile("../ops/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(file, &d); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "1m", "$client", ".*")
	queries := 0
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries++
			if len(prom.query(t, variables.Replace(target.Expr))) == 0 {
				t.Errorf("%s: no data for %s", panel.Title, target.Expr)
			}
		}
	}
	t.Logf("%d panels, %d queries", len(d.Panels), queries)
	var clients []string
	prom.ask(t, "/api/v1/label/client/values", url.Values{"match[]": {"caddy_bankid_esign_token_expires_seconds"}}, &clients)
	if got := strings.Join(clients, " "); got != "default seal" {
		t.Errorf("the clients to choose from are %q", got)
	}
	shown := string(file)
	var metrics []string
	prom.ask(t, "/api/v1/label/__name__/values", nil, &metrics)
	for _, metric := range metrics {
		if strings.HasPrefix(metric, "caddy_bankid_esign_") && !strings.HasSuffix(metric, "_sum") && !strings.HasSuffix(metric, "_count") && !strings.Contains(shown, metric) {
			t.Errorf("the dashboard does not show %s", metric)
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	loaded := 0
	eventually(t, func() bool {
		prom.ask(t, "/api/v1/rules", nil, &rules)
		loaded = 0
		for _, group := range rules.Groups {
			for _, rule := range group.Rules {
				switch rule.Health {
				case "ok":
					loaded++
				case "err":
					t.Fatalf("%s: %s", rule.Name, rule.LastError)
				}
			}
		}
		return loaded == 12
	})
}
