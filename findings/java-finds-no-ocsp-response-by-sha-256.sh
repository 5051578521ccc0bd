#!/usr/bin/env bash
# A good OCSP response that names its certificate by SHA-256 is none for Java, nor for OpenSSL by default.
#
# Software:  PKIXRevocationChecker of Java 17 (tried with OpenJDK 17.0.15); OpenSSL 3.0; pyHanko's
#            pyhanko-certvalidator 0.33.0, as published on PyPI.
# Behaviour: A response names the certificate by hashes of its issuer's name and key. The request may
#            choose SHA-256, and the response follows. setOcspResponses of Java takes the response for
#            the certificate, and then the validation fails: "OCSP response does not include a response
#            for a certificate supplied in the OCSP request", although there was no request. Java looks
#            for SHA-1 only. "openssl ocsp -respin" says "No Status found" for its own response, unless
#            it is told -sha256. certvalidator finds SHA-1 and SHA-256, and raises an AttributeError for
#            SHA-384.
# Surprise:  The hash only says which certificate is meant, and the response says by itself which hash it
#            is (RFC 6960 section 4.1.1). What is archived with a document for thirty years cannot be
#            asked for again with another hash.
# Needs:     bash, Java 17, OpenSSL 3, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check pyHanko==0.38.0 pyhanko-certvalidator==0.33.0 asn1crypto==1.5.1
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout signer.key -out signer.csr -subj /CN=signer 2>/dev/null
openssl x509 -req -in signer.csr -CA ca.pem -CAkey ca.key -set_serial 0x1001 -days 2 -out signer.pem -extfile <(printf '%s\n' keyUsage=critical,nonRepudiation authorityInfoAccess=OCSP\;URI:http://127.0.0.1:9/) 2>/dev/null
printf 'V\t%s\t\t1001\tunknown\t/CN=signer\n' "$(date -u -d '2 days' +%y%m%d%H%M%SZ)" >index
cat >Validate.java <<'JAVA'
import java.io.FileInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Map;
import java.util.Set;

public class Validate {
	public static void main(String[] args) throws Exception {
		CertificateFactory factory = CertificateFactory.getInstance("X.509");
		var ca = (X509Certificate) factory.generateCertificate(new FileInputStream("ca.pem"));
		var signer = (X509Certificate) factory.generateCertificate(new FileInputStream("signer.pem"));
		for (String hash : args) {
			CertPathValidator validator = CertPathValidator.getInstance("PKIX");
			var checker = (PKIXRevocationChecker) validator.getRevocationChecker();
			checker.setOptions(Set.of(PKIXRevocationChecker.Option.NO_FALLBACK));
			checker.setOcspResponses(Map.of(signer, Files.readAllBytes(Path.of(hash + ".response"))));
			PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(ca, null)));
			parameters.addCertPathChecker(checker);
			try {
				validator.validate(factory.generateCertPath(List.of(signer)), parameters);
				System.out.println(hash + ", Java: good");
			} catch (CertPathValidatorException e) {
				System.out.println(hash + ", Java: " + e.getMessage());
			}
		}
	}
}
JAVA
cat >validate.py <<'PY'
import asyncio
import sys
from pathlib import Path

from asn1crypto.ocsp import OCSPResponse
from pyhanko.keys import load_cert_from_pemder
from pyhanko_certvalidator import CertificateValidator, ValidationContext

root, signer = load_cert_from_pemder("ca.pem"), load_cert_from_pemder("signer.pem")
for name in sys.argv[1:]:
    response = OCSPResponse.load(Path(name + ".response").read_bytes())
    context = ValidationContext(trust_roots=[root], ocsps=[response], allow_fetching=False, revocation_mode="require")
    try:
        asyncio.run(CertificateValidator(signer, validation_context=context).async_validate_usage({"non_repudiation"}))
        print(f"{name}, certvalidator: good")
    except Exception as error:
        print(f"{name}, certvalidator: {type(error).__name__}: {error}")
PY
hashes=(sha1 sha256 sha384)
got=$(
	for hash in "${hashes[@]}"; do
		openssl ocsp "-$hash" -issuer ca.pem -cert signer.pem -no_nonce -reqout request
		openssl ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key -ndays 1 -reqin request -respout "$hash.response" >/dev/null 2>&1
		for option in "" -$hash; do
			# shellcheck disable=SC2086
			echo "$hash, OpenSSL${option:+ $option}: $(openssl ocsp $option -issuer ca.pem -cert signer.pem -no_nonce -respin $hash.response -CAfile ca.pem 2>/dev/null | sed -n 's/^signer.pem: //p')"
		done
	done
	java -XX:TieredStopAtLevel=1 Validate.java "${hashes[@]}"
	venv/bin/python validate.py "${hashes[@]}"
)
want='sha1, OpenSSL: good
sha1, OpenSSL -sha1: good
sha256, OpenSSL: ERROR: No Status found.
sha256, OpenSSL -sha256: good
sha384, OpenSSL: ERROR: No Status found.
sha384, OpenSSL -sha384: good
sha1, Java: good
sha256, Java: OCSP response does not include a response for a certificate supplied in the OCSP request
sha384, Java: OCSP response does not include a response for a certificate supplied in the OCSP request
sha1, certvalidator: good
sha256, certvalidator: good
sha384, certvalidator: AttributeError: '"'Name' object has no attribute 'sha384'"
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
