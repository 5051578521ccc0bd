package caddyesign_test

import (
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox/pdftest"
)

// BankID limits the time of a person's session and of an order. When the time is over,
// the caller learns it from BankID. No call is retried.
func TestJourneyThatTakesTooLong(t *testing.T) {
	waits(t)
	const credential = "sandbox-credential"
	hash, pdf := hashOf([]byte("agreed")), pdftest.Signed("Avtale")
	t.Run("code", func(t *testing.T) {
		j := newJourney(t, sandbox.Options{Assumptions: sandbox.Assumptions{CodeLifetime: 1}})
		j.exchange(j.consent(), redirectURI).passed(1, 400).says(`"error":"invalid_grant"`, "expired")
	})
	t.Run("order", func(t *testing.T) {
		j := newJourney(t, sandbox.Options{Assumptions: sandbox.Assumptions{OrderRetention: 1}})
		for _, path := range []string{signDoc, signDocV0, lta} {
			j.call("DELETE", path+j.create(path, pdf), "").passed(1, 404)
		}
	})
	t.Run("service token", func(t *testing.T) {
		j := newJourney(t, sandbox.Options{Assumptions: sandbox.Assumptions{ServiceTokenLifetime: time.Second}})
		s := j.sign()
		// A call that comes too early in the session uses up nothing, so it can be
		// retried.
		eventually(t, func() bool {
			r := s.at(credentialsAuthorize, authorization(credential, hash))
			if r.StatusCode == 400 {
				r.passed(1, 400)
				return false
			}
			r.passed(1, 401).says(`"errorCode":"invalid_token"`)
			return true
		})
	})
	t.Run("SAD", func(t *testing.T) {
		j := newJourney(t, sandbox.Options{Assumptions: sandbox.Assumptions{SADLifetime: time.Second, OrderRetention: time.Second}})
		s := j.sign()
		sad := s.authorize(s.list(), hash)
		// A younger order with the same lifetime shows when that lifetime is over.
		query := j.create(signDoc, pdf)
		eventually(t, func() bool { return j.call("GET", signDoc+query, "").StatusCode == 404 })
		s.at(signHash, signature(credential, sad, hash)).passed(1, 400).says(`"errorCode":"invalid_sad"`, "SAD expired")
	})
}
