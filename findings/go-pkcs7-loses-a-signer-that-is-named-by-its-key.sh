#!/usr/bin/env bash
# Two CMS libraries for Go say that a message has no signers, if its signer is named by its key.
#
# Software:  github.com/smallstep/pkcs7 v0.2.3 and go.mozilla.org/pkcs7 v0.10.0; OpenSSL 3.0 as the
#            signer.
# Behaviour: A CMS names its signer by issuer and serial number, or by the key identifier of the
#            certificate ("openssl cms -sign -keyid"). Parse of both libraries returns no error for the
#            latter, the certificate is there, and Signers is empty. Verify: "Message has no signers".
# Surprise:  RFC 5652 section 5.3: implementations "MUST" accept both forms. A form that a library does
#            not know should be an error of Parse. A message that is signed looks like one that is not,
#            or like a mere bag of certificates, which this format is used for too.
# Needs:     bash, Go, OpenSSL 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	github.com/smallstep/pkcs7 v0.2.3
	go.mozilla.org/pkcs7 v0.10.0
)
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/smallstep/pkcs7"
	mozilla "go.mozilla.org/pkcs7"
)

func main() {
	for _, name := range os.Args[1:] {
		data, _ := os.ReadFile(name)
		first, err := pkcs7.Parse(data)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s, smallstep: %d certificates, %d signers, Verify: %v\n", name, len(first.Certificates), len(first.Signers), first.Verify())
		second, err := mozilla.Parse(data)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s, mozilla: %d certificates, %d signers, Verify: %v\n", name, len(second.Certificates), len(second.Signers), second.Verify())
	}
}
GO
go mod tidy >/dev/null 2>&1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=signer 2>/dev/null
printf document >document
openssl cms -sign -binary -nodetach -outform DER -signer certificate.pem -inkey key.pem -in document -out "issuer and serial number"
openssl cms -sign -binary -nodetach -outform DER -signer certificate.pem -inkey key.pem -keyid -in document -out "key identifier"
want='issuer and serial number, OpenSSL: CMS Verification successful
issuer and serial number, smallstep: 1 certificates, 1 signers, Verify: <nil>
issuer and serial number, mozilla: 1 certificates, 1 signers, Verify: <nil>
key identifier, OpenSSL: CMS Verification successful
key identifier, smallstep: 1 certificates, 0 signers, Verify: pkcs7: Message has no signers
key identifier, mozilla: 1 certificates, 0 signers, Verify: pkcs7: Message has no signers'
got=$(
	for name in "issuer and serial number" "key identifier"; do
		echo "$name, OpenSSL: $(openssl cms -verify -inform DER -in "$name" -CAfile certificate.pem -out content 2>&1)"
		go run . "$name"
	done
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
