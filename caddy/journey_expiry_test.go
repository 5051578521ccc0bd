package caddyesign_test

import (
	"testing"
	"time"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

// What BankID gives a person or an order a time for, ends, and the caller reads
// that from BankID. Nothing of it is repeated.
func TestJourneyThatTakesTooLong(t *testing.T) {
	const credential = "sandbox-credential"
	hash, pdf := hashOf([]byte("agreed")), []byte("%PDF-1.7")
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
		// Too early in the order, it uses up nothing, so it can be asked again.
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
		// An order that is younger and lives as long tells when it has expired.
		query := j.create(signDoc, pdf)
		eventually(t, func() bool { return j.call("GET", signDoc+query, "").StatusCode == 404 })
		s.at(signHash, signature(credential, sad, hash)).passed(1, 400).says(`"errorCode":"invalid_request"`, "SAD expired")
	})
}
