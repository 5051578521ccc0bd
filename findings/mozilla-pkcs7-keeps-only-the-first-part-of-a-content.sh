#!/usr/bin/env bash
# Of a CMS that OpenSSL has streamed, go.mozilla.org/pkcs7 keeps the first 4096 octets.
#
# Software:  go.mozilla.org/pkcs7 v0.10.0, and github.com/smallstep/pkcs7 v0.2.3, which comes from the
#            same code; OpenSSL 3.0 as the signer.
# Behaviour: "openssl cms -sign -stream" writes BER with indefinite lengths, and cuts the content into
#            octet strings of 4096 octets. Parse of go.mozilla.org/pkcs7 returns no error, and as Content
#            the first of them. Verify then says that the digest does not match, although the signature
#            is good. A content of up to 4096 octets is whole and verified. smallstep's reads both.
# Surprise:  A CMS is BER (RFC 5652 section 1), and the library has a step that makes DER of it. All is
#            well with the short content of a test. A long one looks as if it had been changed, and a
#            program that only wants the content gets a part of it without an error.
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
		message, _ := os.ReadFile(name)
		first, err := mozilla.Parse(message)
		if err != nil {
			panic(err)
		}
		second, err := pkcs7.Parse(message)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: mozilla %d octets, verified: %t; smallstep %d octets, verified: %t\n",
			name, len(first.Content), first.Verify() == nil, len(second.Content), second.Verify() == nil)
	}
}
GO
go mod tidy >/dev/null 2>&1
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=signer 2>/dev/null
messages=()
for length in 4096 4097 20000; do
	head -c $length /dev/zero >content
	for form in whole streamed; do
		option=()
		[[ $form == whole ]] || option=(-stream)
		openssl cms -sign -binary -nodetach "${option[@]}" -outform DER -signer certificate.pem -inkey key.pem -in content -out $length-$form
		messages+=("$length-$form")
	done
done
want='4096-whole: mozilla 4096 octets, verified: true; smallstep 4096 octets, verified: true
4096-streamed: mozilla 4096 octets, verified: true; smallstep 4096 octets, verified: true
4097-whole: mozilla 4097 octets, verified: true; smallstep 4097 octets, verified: true
4097-streamed: mozilla 4096 octets, verified: false; smallstep 4097 octets, verified: true
20000-whole: mozilla 20000 octets, verified: true; smallstep 20000 octets, verified: true
20000-streamed: mozilla 4096 octets, verified: false; smallstep 20000 octets, verified: true'
got=$(go run . "${messages[@]}")
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
