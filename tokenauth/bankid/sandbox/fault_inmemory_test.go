package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// Without a network, too, a fault that breaks the connection fails the call and
// not the process.
func TestFaultsWithoutANetwork(t *testing.T) {
	for name, test := range map[string]struct {
		fault sandbox.Fault
		want  error
	}{
		"reset":      {sandbox.Fault{Effect: sandbox.Reset}, io.ErrUnexpectedEOF},
		"late reset": {sandbox.Fault{Effect: sandbox.Reset, Late: true}, io.ErrUnexpectedEOF},
		"hang":       {sandbox.Fault{Effect: sandbox.Hang}, context.DeadlineExceeded},
		"delay":      {sandbox.Fault{Effect: sandbox.Delay, Delay: time.Hour}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, sandbox.Options{})
				inject(t, s, test.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:9771/v1/signdoc/jwks", nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := tokenauthtest.HandlerTransport{Handler: s}.RoundTrip(req)
				if err == nil {
					res.Body.Close()
				}
				if !errors.Is(err, test.want) {
					t.Errorf("error is %v, want %v", err, test.want)
				}
			})
		})
	}
}
