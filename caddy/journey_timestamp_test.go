package caddyesign_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/bankid/sandbox"
)

const timestampToken = "/v1/timestamp/token"

// Journey C: a timestamp by either protocol. The journey of signing tests the LTA
// orders.
func TestJourneyOfATimestamp(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	document := []byte(rand.Text())
	j.write("document", document)
	j.write("ca.pem", j.visit("GET", "/sandbox/ca.pem", "").is(200).body)

	// This is the Time-Stamp Protocol over HTTP (RFC 3161, section 3.4).
	j.openssl("", "ts", "-query", "-data", "document", "-sha512", "-cert", "-out", "query.tsq")
	query, err := os.ReadFile(filepath.Join(j.dir, "query.tsq"))
	if err != nil {
		t.Fatal(err)
	}
	r := j.call("POST", timestampToken, string(query), "Content-Type", "application/timestamp-query").passed(1, 200)
	if got := r.Header.Get("Content-Type"); got != "application/timestamp-reply" {
		t.Errorf("Content-Type is %q", got)
	}
	j.write("reply.tsr", r.body)
	j.openssl("Verification: OK", "ts", "-verify", "-in", "reply.tsr", "-CAfile", "ca.pem", "-queryfile", "query.tsq")
	j.openssl("Verification: OK", "ts", "-verify", "-in", "reply.tsr", "-CAfile", "ca.pem", "-data", "document")
	j.openssl("Status: Granted.", "ts", "-reply", "-in", "reply.tsr", "-text")

	// The response to the JSON call is the token alone.
	var response struct {
		Token []byte `json:"timestamp"`
	}
	j.post(timestampToken, `{"hash":"`+hashOf(document)+`","hashAlgo":"`+sha256OID+`"}`).passed(1, 200).into(&response)
	j.write("token.der", response.Token)
	j.openssl("Verification: OK", "ts", "-verify", "-in", "token.der", "-token_in", "-CAfile", "ca.pem", "-data", "document")
}

func TestJourneyOfATimestampBroken(t *testing.T) {
	j := newJourney(t, sandbox.Options{})
	hash := hashOf([]byte("document"))
	for _, test := range []struct {
		name, contentType, body string
		status                  int
		says                    string
	}{
		{"neither protocol", "text/plain", "x", 400, `"code":"SIG-TG400"`},
		{"half of the JSON", "application/json", `{"hash":"`, 400, `"code":"SIG-TG400"`},
		{"not base64", "application/json", `{"hash":"!","hashAlgo":"` + sha256OID + `"}`, 400, `"code":"SIG-TG400"`},
		{"no algorithm", "application/json", `{"hash":"` + hash + `"}`, 400, `"code":"SIG-TG400"`},
		{"hash of another length", "application/json", `{"hash":"` + encoded([]byte("x")) + `","hashAlgo":"` + sha256OID + `"}`, 400, `"code":"SIG-TG400"`},
		{"too large", "application/timestamp-query", string(make([]byte, 64<<10+1)), 413, `"code":"SIG-TG413"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			j.in(t)
			j.call("POST", timestampToken, test.body, "Content-Type", test.contentType).
				passed(1, test.status).says(test.says, `"errorReference":"`, `"requestId":"`)
		})
	}
	// A refusal within the protocol is passed on like any other response.
	for failure, arguments := range map[string][]string{
		"Failure info: unrecognized or unsupported algorithm identifier":     {"-sha1"},
		"Failure info: the requested TSA policy is not supported by the TSA": {"-sha256", "-tspolicy", "1.2.3.4"},
	} {
		j.write("document", []byte("document"))
		j.openssl("", append([]string{"ts", "-query", "-data", "document", "-out", "query.tsq"}, arguments...)...)
		query, err := os.ReadFile(filepath.Join(j.dir, "query.tsq"))
		if err != nil {
			t.Fatal(err)
		}
		r := j.call("POST", timestampToken, string(query), "Content-Type", "application/timestamp-query").passed(1, 200)
		j.write("reply.tsr", r.body)
		j.openssl(failure, "ts", "-reply", "-in", "reply.tsr", "-text")
	}
}
