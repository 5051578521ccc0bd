package itest

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// TestToxicTokenFetch puts faults between the gateway and its issuer: before the gateway
// has read the issuer's configuration, and when it has an open connection.
func TestToxicTokenFetch(t *testing.T) {
	for _, test := range []struct {
		toxic
		status int // 200 if the fault only delays
		kind   string
	}{
		{toxic{"latency", "downstream", `"latency":150,"jitter":100`}, 200, ""},
		{toxic{"latency", "upstream", `"latency":150,"jitter":100`}, 200, ""},
		{toxic{"bandwidth", "downstream", `"rate":2`}, 200, ""},
		{toxic{"slicer", "downstream", `"average_size":8,"size_variation":4,"delay":1000`}, 200, ""},
		{toxic{"slicer", "upstream", `"average_size":8,"size_variation":4,"delay":1000`}, 200, ""},
		{toxic{"slow_close", "downstream", `"delay":200`}, 200, ""},
		{toxic{"reset_peer", "downstream", `"timeout":0`}, 503, "destination_unavailable"},
		{toxic{"reset_peer", "upstream", `"timeout":0`}, 503, "destination_unavailable"},
		{toxic{"timeout", "downstream", `"timeout":100`}, 503, "destination_unavailable"},
		{toxic{"timeout", "downstream", `"timeout":0`}, 504, "connection_timeout"},
		{toxic{"timeout", "upstream", `"timeout":0`}, 504, "connection_timeout"},
		{toxic{"limit_data", "downstream", `"bytes":20`}, 503, "destination_unavailable"},
		{toxic{"limit_data", "downstream", `"bytes":140`}, 503, "destination_unavailable"}, // in the JSON
		{toxic{"limit_data", "upstream", `"bytes":20`}, 503, "destination_unavailable"},
	} {
		for name, warm := range map[string]bool{"discovery": false, "token": true} {
			t.Run(fmt.Sprintf("%s %s %s", test.toxic, test.attributes, name), func(t *testing.T) {
				testTokenFetch(t, warm, test.toxic, test.status, test.kind)
			})
		}
	}
}

// testTokenFetch tests a fault. Callers get status and kind.
func testTokenFetch(t *testing.T, warm bool, fault toxic, status int, kind string) {
	n := newToxicNet(t)
	n.oneCallTokens()
	if !warm {
		n.issuerWay.add(t, fault)
	}
	n.start(t, "timeout 2s", "")
	if warm {
		n.wantHealed(t)
		n.issuerWay.add(t, fault)
	}
	for _, c := range smallCalls() {
		out, target := n.make(t, c)
		if status == http.StatusOK {
			wantDone(t, out)
		} else {
			wantError(t, out, status, kind)
			if out.header.Get("Retry-After") == "" {
				t.Error("the caller is not told when to come back")
			}
			if len(n.api.seen(target)) > 0 {
				t.Errorf("the API saw %q, for which there was no token", target)
			}
		}
		n.wantOnce(t, target)
	}
	n.issuerWay.heal(t)
	n.wantHealed(t)
	n.wantNoTokenTwice(t)
}

// TestIssuerThatIsOffTheNet stops the server at the issuer's address.
func TestIssuerThatIsOffTheNet(t *testing.T) {
	n := newToxicNet(t)
	n.oneCallTokens()
	n.start(t, "", "")
	n.wantHealed(t)
	n.issuerWay.Stop()
	for _, c := range smallCalls() {
		out, _ := n.make(t, c)
		wantError(t, out, http.StatusServiceUnavailable, "destination_unavailable")
	}
	if err := n.issuerWay.Start(); err != nil {
		t.Fatal(err)
	}
	n.wantHealed(t)
	n.wantNoTokenTwice(t)
}

// oneCallTokens makes the issuer issue tokens for one call only, so that every call fetches
// a token.
func (n *toxicNet) oneCallTokens() {
	var tokens atomic.Int64
	n.issuer.HandleToken(func(w http.ResponseWriter, r *http.Request) {
		response := map[string]any{"access_token": fmt.Sprintf("token-%d", tokens.Add(1)), "token_type": "Bearer", "expires_in": 0}
		if r.Header.Get("DPoP") != "" {
			response["token_type"] = "DPoP"
		}
		tokenauthtest.WriteJSON(w, http.StatusOK, response)
	})
}

// wantNoTokenTwice fails the test if two calls carried the same token for one call. A retry
// is a call too.
func (n *toxicNet) wantNoTokenTwice(t *testing.T) {
	t.Helper()
	n.api.mu.Lock()
	defer n.api.mu.Unlock()
	targets := make(map[string]string)
	for _, call := range n.api.arrivals {
		other, used := targets[call.authorization]
		if used && (other != call.target || !strings.HasPrefix(call.target, "GET ")) {
			t.Errorf("the token of %q was sent with %q too", other, call.target)
		}
		targets[call.authorization] = call.target
	}
}
