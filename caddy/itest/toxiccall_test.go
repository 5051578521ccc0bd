package itest

import (
	"fmt"
	"net/http"
	"testing"
)

// TestToxicCall puts faults between the gateway and the API: on a new connection, and on a
// connection that is already open.
func TestToxicCall(t *testing.T) {
	for _, test := range []struct {
		toxic
		status int // 200 if the fault only delays
		kind   string
		seen   bool // whether the API sees the call
	}{
		{toxic{"latency", "downstream", `"latency":50,"jitter":40`}, 200, "", true},
		{toxic{"latency", "upstream", `"latency":50,"jitter":40`}, 200, "", true},
		{toxic{"bandwidth", "downstream", `"rate":2`}, 200, "", true},
		{toxic{"bandwidth", "upstream", `"rate":2`}, 200, "", true},
		{toxic{"slicer", "downstream", `"average_size":8,"size_variation":4,"delay":1000`}, 200, "", true},
		{toxic{"slicer", "upstream", `"average_size":8,"size_variation":4,"delay":1000`}, 200, "", true},
		{toxic{"slow_close", "downstream", `"delay":100`}, 200, "", true},
		{toxic{"reset_peer", "downstream", `"timeout":0`}, 502, "connection_terminated", true},
		{toxic{"reset_peer", "upstream", `"timeout":0`}, 502, "connection_terminated", false},
		{toxic{"timeout", "downstream", `"timeout":50`}, 502, "connection_terminated", true},
		{toxic{"timeout", "upstream", `"timeout":50`}, 502, "connection_terminated", false},
		{toxic{"timeout", "downstream", `"timeout":0`}, 504, "http_response_timeout", true},
		{toxic{"timeout", "upstream", `"timeout":0`}, 504, "http_response_timeout", false},
		{toxic{"limit_data", "downstream", `"bytes":17`}, 502, "http_response_incomplete", true}, // after the status line
		{toxic{"limit_data", "downstream", `"bytes":20`}, 502, "http_protocol_error", true},      // in a field
		{toxic{"limit_data", "upstream", `"bytes":20`}, 502, "connection_terminated", false},
	} {
		for name, open := range map[string]bool{"new connection": false, "open connection": true} {
			t.Run(fmt.Sprintf("%s %s %s", test.toxic, test.attributes, name), func(t *testing.T) {
				n := newToxicNet(t)
				proxy := ""
				if test.status == http.StatusGatewayTimeout {
					proxy = "transport http {\nresponse_header_timeout 500ms\n}"
				}
				n.start(t, "", proxy)
				n.wantHealed(t)
				for _, c := range smallCalls() {
					if !open {
						n.start(t, "", proxy) // without a connection yet
					}
					n.apiWay.add(t, test.toxic)
					out, target := n.make(t, c)
					if test.status == http.StatusOK {
						wantDone(t, out)
					} else {
						wantError(t, out, test.status, test.kind)
					}
					if seen := len(n.api.seen(target)) > 0; seen != test.seen {
						t.Errorf("the API saw %q: %v, want %v", target, seen, test.seen)
					}
					n.wantOnce(t, target)
					n.apiWay.heal(t)
					n.wantHealed(t)
				}
				n.wantNoProofTwice(t)
			})
		}
	}
}

// TestAPIThatIsOffTheNet stops the server at the API's address.
func TestAPIThatIsOffTheNet(t *testing.T) {
	n := newToxicNet(t)
	n.start(t, "", "")
	n.wantHealed(t)
	n.apiWay.Stop()
	for _, c := range smallCalls() {
		out, target := n.make(t, c)
		wantError(t, out, http.StatusBadGateway, "connection_refused")
		if len(n.api.seen(target)) > 0 {
			t.Errorf("the API saw %q", target)
		}
	}
	if err := n.apiWay.Start(); err != nil {
		t.Fatal(err)
	}
	n.wantHealed(t)
}

// wantNoProofTwice fails the test if two requests had the same DPoP proof.
func (n *toxicNet) wantNoProofTwice(t *testing.T) {
	t.Helper()
	n.api.mu.Lock()
	defer n.api.mu.Unlock()
	proofs := make(map[string]bool)
	for _, call := range n.api.arrivals {
		if call.proof != "" && proofs[call.proof] {
			t.Errorf("the proof of %q was sent before", call.target)
		}
		proofs[call.proof] = true
	}
}
