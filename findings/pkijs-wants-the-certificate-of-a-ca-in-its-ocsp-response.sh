#!/usr/bin/env bash
# pkijs does not verify an OCSP response that the CA itself signs, unless the CA's certificate is in it.
#
# Software:  pkijs 4.0.0, as published on npm; Java 17's PKIXRevocationChecker and OpenSSL 3.0 for
#            comparison.
# Behaviour: The CA signs the response with the key that signed the certificate, and adds no certificate
#            ("openssl ocsp -resp_no_certs"). BasicOCSPResponse.verify gets the CA's certificate in
#            trustedCerts, and throws "No certificates attached to the BasicOCSPResponse".
#            getCertificateStatus says that the response is for the certificate. With the CA's certificate
#            in the response, verify is true. Java and OpenSSL verify both.
# Surprise:  The certificates of a response are optional (RFC 6960 section 4.2.1). They are there for a
#            responder that is not the CA; everybody who checks has the CA's certificate. It is at hand
#            here as well, and is not looked at.
# Needs:     bash, Java 17, Node.js 20 or newer, npm, OpenSSL 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund pkijs@4.0.0 </dev/null >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA 2>/dev/null
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout signer.key -out signer.csr -subj /CN=signer 2>/dev/null
openssl x509 -req -in signer.csr -CA ca.pem -CAkey ca.key -set_serial 0x1000 -out signer.pem -days 2 2>/dev/null
printf 'V\t391231235959Z\t\t1000\tunknown\t/CN=signer\n' >index.txt
openssl ocsp -issuer ca.pem -cert signer.pem -no_nonce -reqout request 2>/dev/null
responder=(openssl ocsp -index index.txt -CA ca.pem -ndays 1 -rsigner ca.pem -rkey ca.key -reqin request)
"${responder[@]}" -respout "with its certificate" 2>/dev/null
"${responder[@]}" -resp_no_certs -respout "without certificates" 2>/dev/null
cat >main.mjs <<'JS'
import { webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as pkijs from 'pkijs';

pkijs.setEngine('node', new pkijs.CryptoEngine({ name: 'node', crypto: webcrypto }));
const certificate = (name) => pkijs.Certificate.fromBER(Buffer.from(readFileSync(name, 'utf8').replace(/-----[^-]*-----|\s/g, ''), 'base64'));
const ca = certificate('ca.pem');
for (const name of process.argv.slice(2)) {
  const response = pkijs.OCSPResponse.fromBER(readFileSync(name));
  const basic = pkijs.BasicOCSPResponse.fromBER(response.responseBytes.response.valueBlock.valueHexView);
  const { isForCertificate, status } = await basic.getCertificateStatus(certificate('signer.pem'), ca);
  const verified = await basic.verify({ trustedCerts: [ca] }).catch((error) => error.message);
  console.log(`${name}, pkijs: for the certificate ${isForCertificate}, status ${status}, verify ${verified}`);
}
JS
cat >Check.java <<'JAVA'
import java.io.FileInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.*;
import java.util.*;

public class Check {
	static X509Certificate certificate(String name) throws Exception {
		return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(name));
	}

	public static void main(String[] args) throws Exception {
		for (String name : args) {
			var validator = CertPathValidator.getInstance("PKIX");
			var checker = (PKIXRevocationChecker) validator.getRevocationChecker();
			var signer = certificate("signer.pem");
			checker.setOcspResponses(Map.of(signer, Files.readAllBytes(Path.of(name))));
			checker.setOptions(Set.of(PKIXRevocationChecker.Option.NO_FALLBACK));
			var parameters = new PKIXParameters(Set.of(new TrustAnchor(certificate("ca.pem"), null)));
			parameters.addCertPathChecker(checker);
			validator.validate(CertificateFactory.getInstance("X.509").generateCertPath(List.of(signer)), parameters);
			System.out.println(name + ", Java: good");
		}
	}
}
JAVA
names=("with its certificate" "without certificates")
want='with its certificate, OpenSSL: good
without certificates, OpenSSL: good
with its certificate, Java: good
without certificates, Java: good
with its certificate, pkijs: for the certificate true, status 0, verify true
without certificates, pkijs: for the certificate true, status 0, verify No certificates attached to the BasicOCSPResponse'
got=$(
	for name in "${names[@]}"; do
		echo "$name, OpenSSL: $(openssl ocsp -respin "$name" -issuer ca.pem -cert signer.pem -CAfile ca.pem 2>/dev/null | sed -n 's/^signer.pem: //p')"
	done
	java -XX:TieredStopAtLevel=1 Check.java "${names[@]}"
	node main.mjs "${names[@]}"
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
