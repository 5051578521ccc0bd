package caddyesign_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	caddyesign "github.com/esigngateway/caddy-bankid-esign/caddy"
)

// logged runs f, and returns how often it has logged each message.
func logged(t *testing.T, f func()) (outages, ends int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := caddy.Load([]byte(`{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"writer":{"output":"file","filename":"`+path+`"}}}}}`), true); err != nil {
		t.Fatal(err)
	}
	f()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(log, []byte("does not sign")), bytes.Count(log, []byte("signs again"))
}

// A key that does not sign does not hide that another one in the same hardware does.
func TestOutageOfOneKeyAmongOthers(t *testing.T) {
	var o caddyesign.KeyOutages
	began, ended := logged(t, func() {
		for range 5 {
			o.Note(t.Context(), "broken", errors.New("it is away"))
			o.Note(t.Context(), "sound", nil)
		}
		o.Note(t.Context(), "broken", nil)
	})
	if began != 1 || ended != 1 {
		t.Errorf("the log has %d outages and %d ends, want one of each", began, ended)
	}
}

// If hardware has too many callers, the log does not have a line for each of them.
func TestOverloadIsLoggedOnceAMinute(t *testing.T) {
	var began, ended int
	began, ended = logged(t, func() {
		synctest.Test(t, func(t *testing.T) {
			var o caddyesign.KeyOutages
			late, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			for range 150 {
				time.Sleep(time.Second) // of the bubble
				o.Note(late, "key", context.DeadlineExceeded)
				o.Note(t.Context(), "key", nil)
			}
		})
	})
	if began != 3 || ended != 3 {
		t.Errorf("the log has %d outages and %d ends, want one of each a minute", began, ended)
	}
}

// An error that is not the time is logged at once.
func TestOutageAfterAnother(t *testing.T) {
	var o caddyesign.KeyOutages
	began, ended := logged(t, func() {
		for _, err := range []error{errors.New("it is away"), nil, errors.New("another"), nil} {
			o.Note(t.Context(), "key", err)
		}
	})
	if began != 2 || ended != 2 {
		t.Errorf("the log has %d outages and %d ends, want two of each", began, ended)
	}
}
