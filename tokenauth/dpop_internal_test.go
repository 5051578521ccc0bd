package tokenauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestF33NoncesAreBounded(t *testing.T) {
	var n nonces
	for i := range 10 * maxNonces {
		u := &url.URL{Scheme: "https", Host: fmt.Sprintf("host%d.example", i)}
		if n.keep(u, NextNonce(http.Header{"Dpop-Nonce": {"nonce"}})); n.get(u) != "nonce" {
			t.Fatalf("the nonce of %s is not known", u)
		}
		if len(*n.byOrigin.Load()) > maxNonces {
			t.Fatalf("%d nonces are kept", len(*n.byOrigin.Load()))
		}
	}
	u := &url.URL{Scheme: "https", Host: "host.example"}
	for _, nonce := range []string{"", strings.Repeat("x", 1025), "a\r\nb"} {
		if n.keep(u, NextNonce(http.Header{"Dpop-Nonce": {nonce}})); n.get(u) != "" {
			t.Errorf("the nonce %.10q is kept", nonce)
		}
	}
}

// All calls read the nonces. They do not wait for those that a response brings. If they
// did, this test would not end.
func TestNoncesAreReadWithoutALock(t *testing.T) {
	var n nonces
	u := &url.URL{Scheme: "https", Host: "api.example"}
	n.keep(u, "first")
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := n.get(u); got != "first" {
		t.Errorf("the nonce is %q", got)
	}
	n.keep(u, "first") // changes nothing
}
