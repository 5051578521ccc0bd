package itest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // plugs in Caddy's modules

	_ "github.com/esigngateway/caddy-bankid-esign" // and the gateway's
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/longway"
	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// longWay has every gateway in the process of the tests send its calls through Caddy's
// reverse_proxy:
//
//	go test -race -run 'TestHosts|TestCallers' . -long
var longWay = flag.Bool("long", false, "send all calls through Caddy's reverse_proxy")

// loadConfig loads the JSON of a configuration.
func loadConfig(config []byte) error {
	if *longWay {
		var err error
		if config, err = longway.TakeJSON(config); err != nil {
			return err
		}
	}
	return caddy.Load(config, true)
}

// A gateway is Caddy running in this process. There is one at a time.
type gateway struct {
	url   string // origin at which it listens, on loopback
	log   string // file with everything that it logs
	level string // of the log
}

// startGateway runs Caddy with the gateway until the test ends: app is the body
// of its global option bankid_esign, site the directives of its one site.
func startGateway(t *testing.T, app, site string) *gateway {
	t.Helper()
	g := &gateway{url: "http://" + ports.Address(t), log: filepath.Join(t.TempDir(), "caddy.log"), level: "DEBUG"}
	if err := g.load(t, app, site); err != nil {
		t.Fatalf("starting Caddy: %v", err)
	}
	t.Cleanup(func() { g.stop(t) })
	return g
}

// load loads a configuration, whether or not there is one already.
func (g *gateway) load(t *testing.T, app, site string) error {
	t.Helper()
	_, port, _ := strings.Cut(g.url, "127.0.0.1:")
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(fmt.Appendf(nil, `{
	admin off
	persist_config off
	auto_https off
	log {
		output file %s
		format json
		level %s
	}
	servers {
		log_credentials
	}
	bankid_esign {
%s
	}
}
# No host name: what a foreign one gets is up to the gateway.
http://:%s {
	bind 127.0.0.1
	log
%s
}
`, g.log, g.level, app, port, site), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			t.Errorf("adapting the Caddyfile: %v", w)
		}
	}
	return loadConfig(config)
}

// stop ends Caddy; its log is complete then. It may be called twice.
func (g *gateway) stop(t *testing.T) {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Errorf("stopping Caddy: %v", err)
	}
}

// access is a line of Caddy's access log.
type access struct {
	Logger  string `json:"logger"`
	Status  int    `json:"status"`
	Request struct {
		Method  string      `json:"method"`
		Host    string      `json:"host"`
		URI     string      `json:"uri"`
		Headers http.Header `json:"headers"`
	} `json:"request"`
	RespHeaders http.Header `json:"resp_headers"`
}

// accesses reads the access log of a gateway that has stopped.
func (g *gateway) accesses(t *testing.T) []access {
	t.Helper()
	file, err := os.Open(g.log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []access
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line access
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			// Other messages have other types under the same names.
			continue
		}
		if strings.HasPrefix(line.Logger, "http.log.access") {
			all = append(all, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// checkLogLacks looks for what must stay secret in all that the gateway logged,
// the calls of path among it.
func checkLogLacks(t *testing.T, g *gateway, path string, secrets []string) {
	t.Helper()
	log, err := os.ReadFile(g.log)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte(path)) {
		t.Fatalf("no call of %s was logged", path)
	}
	for i, secret := range secrets {
		if bytes.Contains(log, []byte(secret)) {
			t.Errorf("the log contains secret %d of %d", i, len(secrets))
		}
	}
}

// do sends req and reads the whole response.
func do(t *testing.T, req *http.Request) (status int, header http.Header, body []byte) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, nil, nil
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, res.Header, body
}
