#!/usr/bin/env bash
# Go's OCSP package calls a good response by RSASSA-PSS or Ed25519 badly signed, and crypto/x509 does not.
#
# Software:  golang.org/x/crypto/ocsp v0.57.0 with crypto/x509 of Go 1.26 (tried with 1.26.8); OpenSSL
#            3.0 as the responder.
# Behaviour: A CA has a responder with a certificate of its own. If the response is signed by RSASSA-PSS
#            or Ed25519, ParseResponseForCert fails: "bad signature on embedded certificate: x509: cannot
#            verify signature: algorithm unimplemented". The same key's certificate request, by the same
#            algorithm, is good for crypto/x509. OpenSSL finds the response good.
# Surprise:  The error comes from crypto/x509, which has both algorithms: the package has a list of its
#            own, without them. The embedded certificate is understood, too: it is signed by ECDSA. For
#            the responder of a CA that signs all by RSASSA-PSS, a program finds the signature bad.
# Needs:     bash, Go, OpenSSL 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require golang.org/x/crypto v0.57.0
MOD
cat >main.go <<'GO'
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/ocsp"
)

func read(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	if block, _ := pem.Decode(data); block != nil {
		return block.Bytes
	}
	return data
}

func certificate(name string) *x509.Certificate {
	parsed, err := x509.ParseCertificate(read(name))
	if err != nil {
		panic(err)
	}
	return parsed
}

func main() {
	for _, name := range os.Args[1:] {
		request, err := x509.ParseCertificateRequest(read(name + ".csr"))
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s, x509: %v, certificate request %v\n", name, request.SignatureAlgorithm, request.CheckSignature())
		response, err := ocsp.ParseResponseForCert(read(name+".response"), certificate("signer.pem"), certificate("ca.pem"))
		if err != nil {
			fmt.Printf("%s, ocsp: %v\n", name, err)
			continue
		}
		fmt.Printf("%s, ocsp: good %t\n", name, response.Status == ocsp.Good)
	}
}
GO
go mod tidy >/dev/null 2>&1
cat >extensions <<'CNF'
[signer]
keyUsage = critical, nonRepudiation
[responder]
keyUsage = critical, digitalSignature
extendedKeyUsage = OCSPSigning
CNF
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA 2>/dev/null
# issue makes a key and a certificate of the CA for it.
issue() {
	local name=$1 extensions=$2 serial=$3
	shift 3
	openssl req -new -nodes -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" "$@" 2>/dev/null
	openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -set_serial "$serial" -out "$name.pem" -days 2 -extfile extensions -extensions "$extensions" 2>/dev/null
}
pss=(-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1)
issue signer signer 0x1000 -newkey ec -pkeyopt ec_paramgen_curve:P-256
issue PKCS1 responder 0x1001 -newkey rsa:2048
issue PSS responder 0x1002 -newkey rsa:2048 "${pss[@]}"
issue Ed25519 responder 0x1003 -newkey ed25519
printf 'V\t391231235959Z\t\t1000\tunknown\t/CN=signer\n' >index.txt
openssl ocsp -issuer ca.pem -cert signer.pem -no_nonce -reqout request 2>/dev/null
# respond has the responder of this name answer the request.
respond() {
	openssl ocsp -index index.txt -CA ca.pem -ndays 1 -rsigner "$1.pem" -rkey "$1.key" -reqin request -respout "$1.response" "${@:2}" 2>/dev/null
	echo "$1, OpenSSL: $(openssl ocsp -respin "$1.response" -issuer ca.pem -cert signer.pem -CAfile ca.pem 2>/dev/null | sed -n 's/^signer.pem: //p')"
}
want='PKCS1, OpenSSL: good
PSS, OpenSSL: good
Ed25519, OpenSSL: good
PKCS1, x509: SHA256-RSA, certificate request <nil>
PKCS1, ocsp: good true
PSS, x509: SHA256-RSAPSS, certificate request <nil>
PSS, ocsp: bad signature on embedded certificate: x509: cannot verify signature: algorithm unimplemented
Ed25519, x509: Ed25519, certificate request <nil>
Ed25519, ocsp: bad signature on embedded certificate: x509: cannot verify signature: algorithm unimplemented'
got=$(
	respond PKCS1
	respond PSS -rmd sha256 "${pss[@]/-sigopt/-rsigopt}"
	respond Ed25519
	go run . PKCS1 PSS Ed25519
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
