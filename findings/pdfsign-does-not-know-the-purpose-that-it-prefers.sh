#!/usr/bin/env bash
# pdfsign demands certificates for signing documents, and takes one for e-mail and not one for documents.
#
# Software:  github.com/digitorus/pdfsign v0.0.0-20250819064552-5f74f69dda1d, with crypto/x509 of Go 1.26
#            (tried with 1.26.8); pyHanko 0.38.0 with pyhanko-certvalidator 0.33.0, as published on PyPI, as
#            the signer.
# Behaviour: The default options of pdfsign's verifier have RequiredEKUs, "Document Signing EKU per RFC
#            9336", and AllowedEKUs, with e-mail as an alternative. Of a certificate with id-kp-documentSigning
#            (1.3.6.1.5.5.7.3.36), it says that it "has no Extended Key Usage extension" and was
#            "signed by unknown authority". One with emailProtection is valid, "acceptable but
#            not preferred". A key usage of nonRepudiation alone is not valid, either.
# Surprise:  36 is the end of the OID, and the option has it as x509.ExtKeyUsage(36). In Go that type has
#            numbers of its own, and an OID that Go has no number for is in UnknownExtKeyUsage. The
#            certificate that the options ask for is the one that they refuse. And nonRepudiation alone is
#            what ETSI EN 319 412-2 section 4.3.2 has for certificates that sign documents and nothing
#            else (type A).
# Needs:     bash, Go, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyhanko==0.38.0 pyhanko-certvalidator==0.33.0
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=ca" -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
# certificate NAME KEY-USAGE [EXTENDED-KEY-USAGE]
certificate() {
	extensions=("keyUsage=critical,$2" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid)
	[[ $# == 2 ]] || extensions+=("extendedKeyUsage=$3")
	openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out "$1.pem" -extfile <(printf '%s\n' "${extensions[@]}") 2>/dev/null
}
names=("documents" "e-mail" "nonRepudiation alone")
certificate documents digitalSignature 1.3.6.1.5.5.7.3.36
certificate e-mail digitalSignature emailProtection
certificate "nonRepudiation alone" nonRepudiation emailProtection
cat >make.py <<'PY'
import sys
from io import BytesIO
from pathlib import Path

from pyhanko.keys import load_cert_from_pemder, load_private_key_from_pemder
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko_certvalidator.registry import SimpleCertificateStore

store = SimpleCertificateStore()
store.register(load_cert_from_pemder("ca.pem"))
writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
plain = BytesIO()
writer.write(plain)
metadata = signers.PdfSignatureMetadata(field_name="Signature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES)
for name in sys.argv[1:]:
    signer = signers.SimpleSigner(load_cert_from_pemder(name + ".pem"), load_private_key_from_pemder(name + ".key", None), cert_registry=store)
    signed = signers.PdfSigner(metadata, signer=signer).sign_pdf(IncrementalPdfFileWriter(BytesIO(plain.getvalue())))
    Path(name + ".pdf").write_bytes(signed.getvalue())
PY
cat >go.mod <<'MOD'
module finding

go 1.26.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/digitorus/pdfsign/verify"
)

func main() {
	for _, name := range os.Args[1:] {
		file, err := os.Open(name + ".pdf")
		if err != nil {
			panic(err)
		}
		options := verify.DefaultVerifyOptions()
		options.AllowUntrustedRoots = true // the CA's certificate is in the PDF
		response, err := verify.VerifyFileWithOptions(file, options)
		if err != nil {
			panic(err)
		}
		for _, signer := range response.Signers {
			fmt.Printf("%s: signature: %t\n", name, signer.ValidSignature)
			for _, certificate := range signer.Certificates {
				if certificate.Certificate.Subject.CommonName == name {
					fmt.Printf("%s: key usage: %t %q\n", name, certificate.KeyUsageValid, certificate.KeyUsageError)
					fmt.Printf("%s: extended key usage: %t %q\n", name, certificate.ExtKeyUsageValid, certificate.ExtKeyUsageError)
					fmt.Printf("%s: path: %q\n", name, certificate.VerifyError)
				}
			}
		}
	}
}
GO
go get github.com/digitorus/pdfsign@v0.0.0-20250819064552-5f74f69dda1d 2>/dev/null
got=$(
	venv/bin/python make.py "${names[@]}" 2>/dev/null
	go run . "${names[@]}"
)
want='documents: signature: true
documents: key usage: true ""
documents: extended key usage: false "certificate has no Extended Key Usage extension"
documents: path: "x509: certificate signed by unknown authority"
e-mail: signature: true
e-mail: key usage: true ""
e-mail: extended key usage: true "certificate uses acceptable but not preferred Extended Key Usage"
e-mail: path: ""
nonRepudiation alone: signature: true
nonRepudiation alone: key usage: false "certificate does not have Digital Signature key usage"
nonRepudiation alone: extended key usage: true "certificate uses acceptable but not preferred Extended Key Usage"
nonRepudiation alone: path: ""'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
