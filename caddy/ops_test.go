package caddyesign_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/esigngateway/caddy-bankid-esign/caddy/internal/ports"
)

// The example runs unchanged, except for its ports and the file of the log.
func TestOperationsExampleRedactsSignID(t *testing.T) {
	config, err := os.ReadFile("ops/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	metrics := ports.Address(t)
	text := strings.NewReplacer(
		"	admin unix/{$XDG_RUNTIME_DIR:/tmp}/esign-gateway.sock|0600\n", "	admin off\n	persist_config off\n",
		"	log {\n		format", "	log {\n		output file "+f.log+"\n		level DEBUG\n		format",
		"http://:9180", "http://"+metrics,
		"http://:8080", f.site,
	).Replace(string(config))
	if err := caddy.Load(adapt(t, text), true); err != nil {
		t.Fatal(err)
	}
	const signID = "c29tZS1vcmRlcg"
	for _, call := range [][2]string{
		{"GET", "/v1/signdoc/pades"}, {"DELETE", "/v1/signdoc/pades"}, {"GET", "/nowhere"}, {"PUT", "/v1/signdoc/pades"},
	} {
		res := f.do(call[0], call[1]+"?a=b&sign_id="+signID, "", "Referer", "http://"+f.addr+"/?sign_id="+signID)
		if res.StatusCode < 400 {
			t.Errorf("%s %s: status %d", call[0], call[1], res.StatusCode)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+metrics+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if body := string(roundTrip(t, req).is(200).body); !strings.Contains(body, "caddy_bankid_esign_refusals_total") || !strings.Contains(body, "caddy_http_requests_total") {
		t.Errorf("the metrics are %.300s", body)
	}
	// The readiness check makes the gateway ready.
	eventually(t, func() bool { return f.do("GET", "/readyz", "").StatusCode == http.StatusOK })
	log := f.logged()
	if strings.Contains(log, signID) {
		at := strings.Index(log, signID)
		t.Errorf("the log has a sign_id: %s", log[max(0, at-300):at])
	}
	for _, logger := range []string{"http.log.access", "http.log.error", "http.handlers.reverse_proxy"} {
		found := false
		for line := range strings.Lines(log) {
			found = found || strings.Contains(line, fmt.Sprintf(`"logger":%q`, logger)) && strings.Contains(line, "sign_id=REDACTED")
		}
		if !found {
			t.Errorf("no line of %s has a redacted sign_id", logger)
		}
	}
}
