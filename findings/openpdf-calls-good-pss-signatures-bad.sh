#!/usr/bin/env bash
# OpenPDF calls the RSASSA-PSS signatures of pyHanko bad, because of the length of their salt.
#
# Software:  OpenPDF 2.0.5 (the last for Java 17) and iText 9.3.0 (sign), with BouncyCastle 1.81, as
#            published on Maven Central; pyHanko 0.38.0, as published on PyPI; pdfsig 22.12 of Debian 12.
# Behaviour: pyHanko signs a PDF with RSASSA-PSS, which it does on its own account with the longest salt
#            that the key allows: 222 octets. The length is in the CMS. PdfPKCS7.verify of OpenPDF is
#            false, as for a document that has been changed: it does not read the parameters of the
#            algorithm, and takes the salt to be as long as the hash. With 32 octets it is true. iText
#            and pdfsig find both good.
# Surprise:  OpenPDF names the algorithm rightly (SHA256withRSAandMGF1), and the salt's length is a
#            parameter of RSASSA-PSS that a verifier must read (RFC 4055 section 3.1). It says "false",
#            and not that it cannot tell.
# Needs:     bash, Java 17, Maven, OpenSSL, Python 3; Debian's poppler-utils.
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
      <groupId>com.github.librepdf</groupId>
      <artifactId>openpdf</artifactId>
      <version>2.0.5</version>
    </dependency>
    <dependency>
      <groupId>com.itextpdf</groupId>
      <artifactId>sign</artifactId>
      <version>9.3.0</version>
    </dependency>
    <dependency>
      <groupId>com.itextpdf</groupId>
      <artifactId>bouncy-castle-adapter</artifactId>
      <version>9.3.0</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyHanko==0.38.0 pyhanko-certvalidator==0.33.0
openssl req -x509 -newkey rsa:2048 -nodes -keyout signer.key -out signer.pem -days 2 -subj /CN=signer -addext keyUsage=critical,nonRepudiation 2>/dev/null
cat >sign.py <<'PY'
from io import BytesIO
from pathlib import Path

from asn1crypto.algos import RSASSAPSSParams, SignedDigestAlgorithm
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers

writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
plain = BytesIO()
writer.write(plain)

sha256 = {"algorithm": "sha256"}
parameters = RSASSAPSSParams({"hash_algorithm": sha256, "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": sha256}, "salt_length": 32})
metadata = signers.PdfSignatureMetadata(field_name="Signature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES)
for name, options in {
    "by itself": {"prefer_pss": True},
    "told to use 32": {"signature_mechanism": SignedDigestAlgorithm({"algorithm": "rsassa_pss", "parameters": parameters})},
}.items():
    signer = signers.SimpleSigner.load("signer.key", "signer.pem", **options)
    signed = signers.sign_pdf(IncrementalPdfFileWriter(plain), metadata, signer)
    Path(name + ".pdf").write_bytes(signed.getvalue())
    print(f"{name}, pyHanko: salt of {signer.get_signature_mechanism_for_digest('sha256')['parameters']['salt_length'].native} octets")
PY
cat >Verify.java <<'JAVA'
import java.security.Security;

import com.itextpdf.kernel.pdf.PdfDocument;
import com.itextpdf.signatures.SignatureUtil;
import com.lowagie.text.pdf.PdfReader;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

public class Verify {
	public static void main(String[] args) throws Exception {
		Security.addProvider(new BouncyCastleProvider());
		for (String name : args) {
			var first = new PdfReader(name + ".pdf").getAcroFields().verifySignature("Signature");
			System.out.println(name + ", OpenPDF: " + first.getDigestAlgorithm() + ", " + first.verify());
			try (var document = new PdfDocument(new com.itextpdf.kernel.pdf.PdfReader(name + ".pdf"))) {
				var second = new SignatureUtil(document).readSignatureData("Signature");
				System.out.println(name + ", iText: " + second.getSignatureMechanismName() + ", " + second.verifySignatureIntegrityAndAuthenticity());
			}
		}
	}
}
JAVA
got=$(
	venv/bin/python sign.py 2>/dev/null
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Verify.java "by itself" "told to use 32" 2>/dev/null
	for name in "by itself" "told to use 32"; do
		echo "$name, pdfsig: $(pdfsig -nocert "$name.pdf" 2>/dev/null | sed -n 's/^  - Signature Validation: //p')"
	done
)
want='by itself, pyHanko: salt of 222 octets
told to use 32, pyHanko: salt of 32 octets
by itself, OpenPDF: SHA256withRSAandMGF1, false
by itself, iText: RSASSA-PSS, true
told to use 32, OpenPDF: SHA256withRSAandMGF1, true
told to use 32, iText: RSASSA-PSS, true
by itself, pdfsig: Signature is Valid.
told to use 32, pdfsig: Signature is Valid.'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
