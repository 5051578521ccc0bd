package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

// notes is an observer that writes down its calls.
type notes []string

func (n *notes) Served(group string, state tokenauth.State) { n.add("served %s %s", group, state) }

func (n *notes) Waited(_ context.Context, group string, start time.Time, err error) {
	n.add("waited %s %v %v", group, time.Since(start), err != nil)
}

func (n *notes) Rejected(group string, status int) { n.add("rejected %s %d", group, status) }

func (n *notes) Retried(group string, reason gateway.Reason) {
	n.add("retried %s %s", group, reason)
}

func (n *notes) add(format string, args ...any) { *n = append(*n, fmt.Sprintf(format, args...)) }

// want asserts which calls were written down since the last want.
func (n *notes) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(*n, want) {
		t.Errorf("it was told %q, want %q", *n, want)
	}
	*n = nil
}

const pades = "/v1/signdoc/pades"

func TestObserverIsToldOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, issuer := newTransport(t)
		n := new(notes)
		transport.Observer = n
		slow := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			respondToken("token", 300)(w, r)
		}
		issuer.HandleToken(slow)
		status(t, transport, newRequest(t, "GET", pades, ""))
		n.want(t, "waited signdoc 2s false", "served signdoc none")
		status(t, transport, newRequest(t, "GET", pades, ""))
		n.want(t, "served signdoc fresh")
		issuer.HandleToken(respondError(http.StatusServiceUnavailable, ""))
		advance(261 * time.Second)
		status(t, transport, newRequest(t, "GET", pades, ""))
		n.want(t, "served signdoc stale")
		// A call with a long body asks for a token that lasts, and uses the present one
		// if there is no other.
		status(t, transport, newRequest(t, "POST", pades, strings.Repeat("x", 2<<10)))
		n.want(t, "waited signdoc 0s false", "served signdoc none")
		advance(time.Hour)
		if res, err := transport.RoundTrip(newRequest(t, "GET", pades, "")); err == nil {
			res.Body.Close()
			t.Error("the call was sent without a token")
		}
		n.want(t, "waited signdoc 0s true")
		before := len(b.calls)
		status(t, transport, newRequest(t, "POST", "/csc/v2/signatures/signHash", "{}"))
		n.want(t) // the caller's own token
		if len(b.calls) != before+1 {
			t.Error("the call was not sent")
		}
	})
}

func TestObserverIsToldOfRejectionsAndRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b, _ := newTransport(t)
		n := new(notes)
		transport.Observer = n
		b.answer = func(r *http.Request) (int, string) { return 401, "" }
		status(t, transport, newRequest(t, "GET", pades, ""))
		n.want(t, "waited signdoc 0s false", "served signdoc none", "rejected signdoc 401",
			"waited signdoc 0s false", "retried signdoc rejected", "rejected signdoc 401")

		b.answer = nil
		b.err = context.DeadlineExceeded // the server may have received the call
		d := new(gateway.Exchange)
		res, err := transport.Try(newRequest(t, "GET", pades, ""), d)
		if err == nil {
			res.Body.Close()
			t.Fatal("no error")
		}
		b.err = nil
		res, err = transport.Try(newRequest(t, "GET", pades, ""), d)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		n.want(t, "served signdoc fresh", "retried signdoc retry")

		b.header = http.Header{"Dpop-Nonce": {"rs-1"}, "Www-Authenticate": {`DPoP error="use_dpop_nonce"`}}
		b.answer = func(r *http.Request) (int, string) {
			if readProof(t, r.Header).Nonce != "rs-1" {
				return 401, ""
			}
			return 200, ""
		}
		status(t, transport, newRequest(t, "POST", "/v0/b2b/ades/pades", "{}"))
		n.want(t, "waited b2b 0s false", "served b2b none", "retried b2b dpop_nonce")
	})
}
