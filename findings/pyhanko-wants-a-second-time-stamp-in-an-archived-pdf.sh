#!/usr/bin/env bash
# Of one archived PDF, EU DSS says that it has passed at level LTA, and pyHanko that it has not.
#
# Software:  pyHanko 0.38.0 with pyhanko-certvalidator 0.33.0, as published on PyPI; DSS 6.4, as
#            published on Maven Central.
# Behaviour: A PDF is signed without a time-stamp, gets its revocation list, and then a document
#            time-stamp over all of it. DSS: PAdES-BASELINE-LTA, TOTAL_PASSED. ades_lta_validation of
#            pyHanko: SIG_CONSTRAINTS_FAILURE. It demands a time-stamp in the attributes of the signature
#            as well. With one there, both pass.
# Surprise:  For level T, ETSI EN 319 142-1 has one or the other: a time-stamp as an attribute of the
#            signature, or a document time-stamp. One who extends the PDF of somebody else can only add
#            the latter, since the signature must not be changed. Such a service does what the standard
#            says, and its results pass in one of the two.
# Needs:     bash, Java 17, Maven, OpenSSL, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
{
	cat <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>0</version>
  <dependencies>
XML
	for artifact in pades-pdfbox validation cms-object crl-parser-x509crl policy-jaxb utils-apache-commons; do
		echo "    <dependency><groupId>eu.europa.ec.joinup.sd-dss</groupId><artifactId>dss-$artifact</artifactId><version>6.4</version></dependency>"
	done
	cat <<'XML'
  </dependencies>
</project>
XML
} >pom.xml
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyHanko==0.38.0 pyhanko-certvalidator==0.33.0
# certificate NAME EXTENSIONS
certificate() {
	openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -days 2 -out "$1.pem" -extfile <(printf '%b\n' "$2" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid) 2>/dev/null
}
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
certificate signer keyUsage=critical,nonRepudiation
certificate server 'keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping'
cat >ca.cnf <<'CNF'
[ca]
default_ca = list
[list]
database = index
crlnumber = number
default_md = sha256
default_crl_days = 2
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid
CNF
touch index
echo 01 >number
openssl ca -config ca.cnf -gencrl -cert ca.pem -keyfile ca.key 2>/dev/null | openssl crl -outform DER -out ca.crl
cat >main.py <<'PY'
import asyncio
from io import BytesIO
from pathlib import Path

from pyhanko.keys import load_cert_from_pemder, load_private_key_from_pemder
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko.sign.validation.ades import ades_lta_validation
from pyhanko.sign.validation.policy_decl import (
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleCertificateStore, SimpleTrustManager


def pair(name):
    return load_cert_from_pemder(name + ".pem"), load_private_key_from_pemder(name + ".key", None)


root = load_cert_from_pemder("ca.pem")
store = SimpleCertificateStore()
store.register(root)
server = DummyTimeStamper(*pair("server"), certs_to_embed=store)
signer = signers.SimpleSigner(*pair("signer"), cert_registry=store)
context = ValidationContext(
    trust_roots=[root], crls=[Path("ca.crl").read_bytes()], other_certs=[pair("server")[0]], allow_fetching=False, revocation_mode="hard-fail"
)

writer = PdfFileWriter()
contents = writer.add_object(generic.StreamObject(stream_data=b""))
writer.insert_page(PageObject(contents=contents, media_box=(0, 0, 9, 9), resources=generic.DictionaryObject()))
plain = BytesIO()
writer.write(plain)
metadata = signers.PdfSignatureMetadata(
    field_name="Signature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES, embed_validation_info=True, validation_context=context
)
spec = PdfSignatureValidationSpec(
    SignatureValidationSpec(
        CertValidationPolicySpec(SimpleTrustManager.build(trust_roots=[root]), CertRevTrustPolicy(REQUIRE_REVINFO)),
        RevocationInfoGatheringSpec(RevinfoOnlineFetchingRule.LOCAL_ONLY),
    )
)
for name, attribute in ("both", server), ("document time-stamp alone", None):
    signed = signers.PdfSigner(metadata, signer=signer, timestamper=attribute).sign_pdf(IncrementalPdfFileWriter(plain))
    archived = signers.PdfTimeStamper(server, field_name="Stamp").timestamp_pdf(
        IncrementalPdfFileWriter(signed), md_algorithm="sha256", validation_context=context
    )
    Path(name + ".pdf").write_bytes(archived.getvalue())
    signature = PdfFileReader(archived).embedded_regular_signatures[0]
    print(f"{name}, pyHanko: {asyncio.run(ades_lta_validation(signature, spec)).ades_subindic}")
PY
cat >Validate.java <<'JAVA'
import java.io.File;

import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;

public class Validate {
	public static void main(String[] args) {
		CommonTrustedCertificateSource trusted = new CommonTrustedCertificateSource();
		trusted.addCertificate(DSSUtils.loadCertificate(new File("ca.pem")));
		for (String name : args) {
			CommonCertificateVerifier verifier = new CommonCertificateVerifier(); // without a network
			verifier.setTrustedCertSources(trusted);
			SignedDocumentValidator validator = SignedDocumentValidator.fromDocument(new FileDocument(name + ".pdf"));
			validator.setCertificateVerifier(verifier);
			var report = validator.validateDocument().getSimpleReport();
			String id = report.getFirstSignatureId();
			System.out.println(name + ", DSS: " + report.getSignatureFormat(id) + ", " + report.getIndication(id));
		}
	}
}
JAVA
got=$(
	venv/bin/python main.py 2>/dev/null
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Validate.java both "document time-stamp alone" 2>/dev/null
)
want='both, pyHanko: AdESPassed.OK
document time-stamp alone, pyHanko: AdESIndeterminate.SIG_CONSTRAINTS_FAILURE
both, DSS: PAdES-BASELINE-LTA, TOTAL_PASSED
document time-stamp alone, DSS: PAdES-BASELINE-LTA, TOTAL_PASSED'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
