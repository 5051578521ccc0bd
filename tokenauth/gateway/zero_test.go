package gateway_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/gateway"
)

func TestTransportThatIsNotSetUpSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			without func(*gateway.Transport)
			status  int
		}{
			"table":  {func(t *gateway.Transport) { t.Table = nil }, http.StatusNotFound},
			"origin": {func(t *gateway.Transport) { t.Origin = nil }, http.StatusBadGateway},
		} {
			transport, b, _ := newTransport(t)
			test.without(transport)
			//nolint:bodyclose // there is none
			_, err := transport.RoundTrip(newRequest(t, http.MethodGet, "/v1/signdoc/pades", ""))
			if refusal, ok := errors.AsType[*gateway.CallError](err); !ok || refusal.Status != test.status || len(b.calls) != 0 {
				t.Errorf("without %s: error is %v, want one with status %d", name, err, test.status)
			}
		}
	})
}

func TestCallOfWhichNothingIsKnownIsANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, _, _ := newTransport(t)
		res, err := transport.Try(newRequest(t, http.MethodPost, "/v1/signdoc/pades", "x"), nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("answer is %v, error %v", res, err)
		}
		res.Body.Close()
	})
}
