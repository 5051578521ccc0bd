package tokenauth_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// A token without a lifetime is not OK, since no API accepts it. If a lifetime is not
// believed, the report shows the lifetime that was given. Keycloak 26.7.3 gives a token of
// 0 s to a client whose lifespan is 0.
func TestCheckOfOddLifetimes(t *testing.T) {
	const day = 24 * time.Hour
	for expiresIn, test := range map[string]struct {
		life, given time.Duration
		hint        string
	}{
		"300":       {life: 5 * time.Minute},
		"1":         {life: time.Second},
		"0":         {hint: "the lifetime of the token is zero"},
		`"0"`:       {hint: "the lifetime of the token is zero"},
		"0.5":       {hint: "the lifetime of the token is zero"},
		"-60":       {life: -time.Second, hint: "the lifetime of the token is zero"},
		"-1e99":     {life: -time.Second, hint: "the lifetime of the token is zero"},
		"86400":     {life: day},
		"864000":    {life: day, given: 10 * day},
		`"864000"`:  {life: day, given: 10 * day},
		"315360000": {life: day, given: 3650 * day},
		"1e99":      {life: day, given: 36500 * day},
	} {
		t.Run(expiresIn, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tokenauthtest.NewServer()
				server.HandleToken(respondToken("t", json.RawMessage(expiresIn)))
				report := check(t, server)
				if report.OK() != (test.hint == "") || report.Lifetime != test.life || report.LifetimeGiven != test.given || report.Err != nil {
					t.Errorf("the report is %+v", report)
				}
				if test.hint != "" {
					wantHint(t, report, test.hint)
				}
			})
		})
	}
}

// If a token had expired when it came, the hint does not name a proxy.
func TestHintAtATokenThatCameTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := tokenauthtest.NewServer()
		server.HandleToken(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(5 * time.Second)
			tokenauthtest.WriteToken(w, "t", 3)
		})
		report := check(t, server)
		wantHint(t, report, "the lifetime of its tokens is too short")
		if report.Err.Cause != tokenauth.CauseUnusable {
			t.Errorf("the cause is %s", report.Err.Cause)
		}
	})
}
