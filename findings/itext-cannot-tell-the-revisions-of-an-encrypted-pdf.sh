#!/usr/bin/env bash
# iText finds a good signature indeterminate, if the PDF is encrypted and has cross-reference streams.
#
# Software:  iText 9.5.0 (sign, with the bouncy-castle-adapter), as published on Maven Central; pyHanko 0.38.0
#            with pyhanko-certvalidator 0.33.0, as published on PyPI; qpdf 11.3 and pdfsig 22.12
#            (poppler-utils) of Debian 12.
# Behaviour: qpdf encrypts a PDF (AES-256 or AES-128, an owner password alone), with or without object streams,
#            and pyHanko signs it. SignatureValidator of iText gets the CA's certificate and its CRL. Without
#            object streams, and with them if nothing is encrypted, the result is VALID. With both, it is
#            INDETERMINATE: "Unexpected exception while retrieving document revisions", because of an
#            "xref subsection not found". pdfsig and pyHanko find all six valid.
# Surprise:  iText has opened the same PDF by then, with these cross-reference streams and this encryption,
#            and has verified the signature. Only its second reader fails, the one for the revisions. A
#            cross-reference stream is never encrypted (ISO 32000-2 section 7.5.8.2), so it is read as in any
#            other PDF. The signature counts as one that nobody can be sure of, because of how the document
#            was stored before it was signed.
# Needs:     bash, Java 17, Maven, OpenSSL 3, Python 3; Debian's poppler-utils and qpdf.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>0</version>
  <dependencies>
    <dependency>
      <groupId>com.itextpdf</groupId>
      <artifactId>sign</artifactId>
      <version>9.5.0</version>
    </dependency>
    <dependency>
      <groupId>com.itextpdf</groupId>
      <artifactId>bouncy-castle-adapter</artifactId>
      <version>9.5.0</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyhanko==0.38.0 pyhanko-certvalidator==0.33.0
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout signer.key -out signer.csr -subj /CN=signer 2>/dev/null
openssl x509 -req -in signer.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out signer.pem -extfile <(echo keyUsage=critical,nonRepudiation) 2>/dev/null
touch index
printf '[ca]\ndefault_ca=own\n[own]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=2\n' >ca.cnf
openssl ca -config ca.cnf -gencrl -cert ca.pem -keyfile ca.key -out crl.pem 2>/dev/null
openssl crl -in crl.pem -outform der -out crl.der
cat >plain.py <<'PY'
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter

writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
with open("plain.pdf", "wb") as file:
    writer.write(file)
PY
cat >sign.py <<'PY'
import sys

from pyhanko.keys import load_cert_from_pemder
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields, signers
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

metadata = signers.PdfSignatureMetadata(field_name="Signature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES)
signer = signers.SimpleSigner.load("signer.key", "signer.pem", ca_chain_files=["ca.pem"])
context = ValidationContext(trust_roots=[load_cert_from_pemder("ca.pem")])
for name in sys.argv[1:]:
    with open(name + ".pdf", "rb") as file, open(name + " signed.pdf", "w+b") as signed:
        writer = IncrementalPdfFileWriter(file)
        if "AES" in name:
            writer.encrypt("")
        signers.sign_pdf(writer, metadata, signer, output=signed)
        reader = PdfFileReader(signed)
        if "AES" in name:
            reader.decrypt("")
        status = validate_pdf_signature(reader.embedded_signatures[0], context)
        print(f"{name}, pyHanko: {status.bottom_line}")
PY
cat >Validate.java <<'JAVA'
import java.io.FileInputStream;
import java.nio.file.*;
import java.security.cert.CertificateFactory;
import java.util.List;

import com.itextpdf.kernel.pdf.*;
import com.itextpdf.signatures.CrlClientOffline;
import com.itextpdf.signatures.validation.*;
import com.itextpdf.signatures.validation.context.*;

public class Validate {
	public static void main(String[] args) throws Exception {
		var ca = CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream("ca.pem"));
		for (String name : args) {
			var properties = new SignatureValidationProperties()
					.setRevocationOnlineFetching(ValidatorContexts.all(), CertificateSources.all(), TimeBasedContexts.all(), SignatureValidationProperties.OnlineFetching.NEVER_FETCH)
					.addCrlClient(new CrlClientOffline(Files.readAllBytes(Path.of("crl.der"))));
			var builder = new ValidatorChainBuilder().withSignatureValidationProperties(properties).withTrustedCertificates(List.of(ca));
			try (var document = new PdfDocument(new PdfReader(name + " signed.pdf"))) {
				var report = builder.buildSignatureValidator(document).validateSignatures();
				System.out.println(name + ", iText: " + report.getValidationResult());
				for (var failure : report.getFailures()) {
					System.out.println(name + ", iText: " + failure.getMessage() + " " + failure.getExceptionCause().getCause().getMessage());
				}
			}
		}
	}
}
JAVA
venv/bin/python plain.py
names=()
for streams in disable generate; do
	options=(--object-streams="$streams" plain.pdf)
	qpdf "${options[@]}" "plain, $streams.pdf"
	qpdf "${options[@]}" --encrypt "" owner 128 --use-aes=y -- "AES-128, $streams.pdf"
	qpdf "${options[@]}" --encrypt "" owner 256 -- "AES-256, $streams.pdf"
	names+=("plain, $streams" "AES-128, $streams" "AES-256, $streams")
done
got=$(
	venv/bin/python sign.py "${names[@]}" 2>/dev/null
	for name in "${names[@]}"; do
		echo "$name, pdfsig: $(pdfsig -nocert "$name signed.pdf" 2>/dev/null | sed -n 's/^  - Signature Validation: //p')"
	done
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Validate.java "${names[@]}" 2>/dev/null
)
want='plain, disable, pyHanko: True
AES-128, disable, pyHanko: True
AES-256, disable, pyHanko: True
plain, generate, pyHanko: True
AES-128, generate, pyHanko: True
AES-256, generate, pyHanko: True
plain, disable, pdfsig: Signature is Valid.
AES-128, disable, pdfsig: Signature is Valid.
AES-256, disable, pdfsig: Signature is Valid.
plain, generate, pdfsig: Signature is Valid.
AES-128, generate, pdfsig: Signature is Valid.
AES-256, generate, pdfsig: Signature is Valid.
plain, disable, iText: VALID
AES-128, disable, iText: VALID
AES-256, disable, iText: VALID
plain, generate, iText: VALID
AES-128, generate, iText: INDETERMINATE
AES-128, generate, iText: Unexpected exception while retrieving document revisions. xref subsection not found.
AES-256, generate, iText: INDETERMINATE
AES-256, generate, iText: Unexpected exception while retrieving document revisions. xref subsection not found.'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
