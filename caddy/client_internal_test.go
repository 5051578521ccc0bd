package caddyesign

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
)

// A hangingHolder has a key that cannot be read.
type hangingHolder struct{}

func (hangingHolder) String() string { return "the device" }

func (hangingHolder) Key(ctx context.Context, _ string) (*tokenauth.Key, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// An attempt to obtain a token lasts as long as the error that says which key hangs.
func TestKeyThatCannotBeReadInTimeIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := Client{ClientID: "x", privateKey: hangingHolder{}}.credentials()
		if err == nil || !strings.HasPrefix(err.Error(), "private_key in the device: ") {
			t.Errorf("error is %v", err)
		}
		if waited := time.Since(start); waited >= tokenauth.DefaultTimeout {
			t.Errorf("it comes after %v, when an attempt is over", waited)
		}
	})
}
