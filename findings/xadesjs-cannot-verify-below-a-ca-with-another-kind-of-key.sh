#!/usr/bin/env bash
# xadesjs verifies no signature whose certificate is below a CA with another kind of key.
#
# Software:  xadesjs 2.6.8 with xmldsigjs 2.8.8 and xml-core 1.2.6, as published on npm; EU DSS 6.4
#            (dss-xades), as published on Maven Central; xmlsec1 1.2.37 of Debian 12.
# Behaviour: DSS signs XML as XAdES-BASELINE-B, enveloping, and puts the certificates of the signer and of
#            the CA into KeyInfo. If the signer has an RSA key and the CA an EC key, Verify of xadesjs throws
#            "Incorrect public key algorithm". The other way round it throws "Cannot get Curved name from
#            the ECDSA public key". If the two keys are of one kind, or the CA's certificate is not there,
#            the result is true. xmlsec1 verifies all.
# Surprise:  xadesjs reads the key of each certificate as one for the signature's algorithm before it
#            tries any. Which key is the signer's follows from the signature itself (SigningCertificateV2),
#            and the CA's has no part in it. Who renews an RSA certificate as an EC one, below the same CA,
#            finds that documents cannot be verified any more.
# Needs:     bash, Java 17, Maven, Node.js 20 or newer, npm, OpenSSL; Debian's xmlsec1.
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
      <groupId>eu.europa.ec.joinup.sd-dss</groupId>
      <artifactId>dss-xades</artifactId>
      <version>6.4</version>
    </dependency>
    <dependency>
      <groupId>eu.europa.ec.joinup.sd-dss</groupId>
      <artifactId>dss-token</artifactId>
      <version>6.4</version>
    </dependency>
    <dependency>
      <groupId>eu.europa.ec.joinup.sd-dss</groupId>
      <artifactId>dss-utils-apache-commons</artifactId>
      <version>6.4</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
npm install --silent --no-audit --no-fund xadesjs@2.6.8 xmldsigjs@2.8.8 xml-core@1.2.6 @xmldom/xmldom@0.9.12 </dev/null >/dev/null
new_key() {
	case $1 in
	RSA) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 ;;
	*) openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:$1" ;;
	esac
}
for kind in RSA P-256 P-384; do
	new_key $kind >"ca $kind.key" 2>/dev/null
	openssl req -x509 -new -key "ca $kind.key" -out "ca $kind.pem" -days 2 -subj "/CN=CA $kind"
done
names=("RSA below RSA" "P-256 below P-384" "RSA below P-256" "P-256 below RSA" "P-256 below RSA, alone")
for name in "${names[@]}"; do
	read -r signer _ ca <<<"${name%,*}"
	new_key "$signer" >signer.key 2>/dev/null
	openssl req -new -key signer.key -subj "/CN=signer" -out signer.csr
	openssl x509 -req -in signer.csr -CA "ca $ca.pem" -CAkey "ca $ca.key" -CAcreateserial -days 2 -out signer.pem 2>/dev/null
	chain=(-certfile "ca $ca.pem")
	[[ $name != *alone ]] || chain=()
	openssl pkcs12 -export -inkey signer.key -in signer.pem "${chain[@]}" -passout pass:password -out "$name.p12"
done
echo '<order><item>1</item></order>' >order.xml
cat >Sign.java <<'JAVA'
import java.io.File;
import java.security.KeyStore.PasswordProtection;

import eu.europa.esig.dss.enumerations.*;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.token.Pkcs12SignatureToken;
import eu.europa.esig.dss.xades.XAdESSignatureParameters;
import eu.europa.esig.dss.xades.signature.XAdESService;

public class Sign {
	public static void main(String[] args) throws Exception {
		for (String name : args) {
			var token = new Pkcs12SignatureToken(new File(name + ".p12"), new PasswordProtection("password".toCharArray()));
			var key = token.getKeys().get(0);
			var parameters = new XAdESSignatureParameters();
			parameters.setSignatureLevel(SignatureLevel.XAdES_BASELINE_B);
			parameters.setSignaturePackaging(SignaturePackaging.ENVELOPING);
			parameters.setDigestAlgorithm(DigestAlgorithm.SHA256);
			parameters.setSigningCertificate(key.getCertificate());
			parameters.setCertificateChain(key.getCertificateChain());
			var service = new XAdESService(new CommonCertificateVerifier());
			var order = new FileDocument("order.xml");
			var value = token.sign(service.getDataToSign(order, parameters), DigestAlgorithm.SHA256, key);
			service.signDocument(order, parameters, value).save(name + ".xml");
		}
	}
}
JAVA
cat >verify.mjs <<'JS'
import { webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DOMParser, XMLSerializer } from '@xmldom/xmldom';
import * as xadesjs from 'xadesjs';
import { setNodeDependencies } from 'xml-core';

setNodeDependencies({ DOMParser, XMLSerializer });
xadesjs.Application.setEngine('node', webcrypto);
for (const name of process.argv.slice(2)) {
  const xml = xadesjs.Parse(readFileSync(`${name}.xml`, 'utf8'));
  const signed = new xadesjs.SignedXml(xml);
  signed.LoadXml(xml.getElementsByTagNameNS('http://www.w3.org/2000/09/xmldsig#', 'Signature')[0]);
  console.log(`${name}, xadesjs: ${await signed.Verify().catch((error) => error.message)}`);
}
JS
got=$(
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Sign.java "${names[@]}" 2>/dev/null
	for name in "${names[@]}"; do
		result=$(xmlsec1 --verify --insecure --id-attr:Id http://uri.etsi.org/01903/v1.3.2#:SignedProperties --id-attr:Id http://www.w3.org/2000/09/xmldsig#:Object "$name.xml" 2>&1 | head -n 1)
		echo "$name, xmlsec1: $result, $(grep -o '<ds:X509Certificate>' "$name.xml" | wc -l) certificates"
	done
	node verify.mjs "${names[@]}"
)
want='RSA below RSA, xmlsec1: OK, 2 certificates
P-256 below P-384, xmlsec1: OK, 2 certificates
RSA below P-256, xmlsec1: OK, 2 certificates
P-256 below RSA, xmlsec1: OK, 2 certificates
P-256 below RSA, alone, xmlsec1: OK, 1 certificates
RSA below RSA, xadesjs: true
P-256 below P-384, xadesjs: true
RSA below P-256, xadesjs: Incorrect public key algorithm: 1.2.840.10045.2.1
P-256 below RSA, xadesjs: Cannot get Curved name from the ECDSA public key
P-256 below RSA, alone, xadesjs: true'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
