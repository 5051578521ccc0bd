#!/usr/bin/env bash
# xades4j says of a signature by the European standard that it follows none of the forms of XAdES.
#
# Software:  xades4j 2.4.1 (com.googlecode.xades4j) and EU DSS 6.4 (dss-xades, dss-validation), as published on
#            Maven Central; xmlsec1 1.2.37 of Debian 12.
# Behaviour: DSS signs XML as XAdES-BASELINE-B, with its defaults. xades4j throws InvalidXAdESFormException:
#            "Signature doesn't follow any of the XAdES forms". With setEn319132(false), DSS writes the
#            older property SigningCertificate in place of SigningCertificateV2, and xades4j has
#            XAdES-BES. The other way round, what xades4j signs is XAdES-BASELINE-B for DSS, TOTAL_PASSED.
#            xmlsec1 finds the signatures of all good.
# Surprise:  ETSI EN 319 132-1 is of 2016, and its baseline (sections 5.2.2 and 6.3) has
#            SigningCertificateV2 for every level. Of two libraries for XAdES, one reads the other's
#            documents, so a test in that direction says that they work together, and the error says that
#            it is the signer who does not keep to the standard.
# Needs:     bash, Java 17, Maven, OpenSSL; Debian's xmlsec1.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
# classpath FOLDER GROUP VERSION ARTIFACT...: each of the two has a BouncyCastle of its own
classpath() {
	mkdir "$1"
	{
		cat <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>0</version>
  <dependencies>
XML
		for artifact in "${@:4}"; do
			echo "    <dependency><groupId>$2</groupId><artifactId>$artifact</artifactId><version>$3</version></dependency>"
		done
		cat <<'XML'
  </dependencies>
</project>
XML
	} >"$1/pom.xml"
	mvn -q -B -f "$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
}
classpath dss eu.europa.ec.joinup.sd-dss 6.4 dss-xades dss-token dss-validation dss-policy-jaxb dss-crl-parser-x509crl dss-utils-apache-commons
classpath xades4j com.googlecode.xades4j 2.4.1 xades4j
for kind in RSA P-256; do
	options=(-algorithm RSA -pkeyopt rsa_keygen_bits:2048)
	[[ $kind == RSA ]] || options=(-algorithm EC -pkeyopt "ec_paramgen_curve:$kind")
	openssl genpkey "${options[@]}" >"$kind.key" 2>/dev/null
	openssl req -x509 -new -key "$kind.key" -days 2 -subj "/CN=$kind" -addext keyUsage=critical,digitalSignature,nonRepudiation,keyCertSign -out "$kind.pem"
	openssl pkcs12 -export -inkey "$kind.key" -in "$kind.pem" -passout pass:password -out "$kind.p12"
done
echo '<order><item>1</item></order>' >order.xml
cat >Dss.java <<'JAVA'
import java.io.File;
import java.security.KeyStore.PasswordProtection;

import eu.europa.esig.dss.enumerations.*;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.token.Pkcs12SignatureToken;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import eu.europa.esig.dss.xades.XAdESSignatureParameters;
import eu.europa.esig.dss.xades.signature.XAdESService;

public class Dss {
	static void sign(String kind, boolean standard, String file) throws Exception {
		var token = new Pkcs12SignatureToken(new File(kind + ".p12"), new PasswordProtection("password".toCharArray()));
		var key = token.getKeys().get(0);
		var parameters = new XAdESSignatureParameters();
		parameters.setSignatureLevel(SignatureLevel.XAdES_BASELINE_B);
		parameters.setSignaturePackaging(SignaturePackaging.ENVELOPING);
		parameters.setDigestAlgorithm(DigestAlgorithm.SHA256);
		parameters.setSigningCertificate(key.getCertificate());
		if (!standard) {
			parameters.setEn319132(false);
		}
		var service = new XAdESService(new CommonCertificateVerifier());
		var order = new FileDocument("order.xml");
		var value = token.sign(service.getDataToSign(order, parameters), DigestAlgorithm.SHA256, key);
		service.signDocument(order, parameters, value).save(file);
	}

	public static void main(String[] args) throws Exception {
		for (String kind : new String[] { "RSA", "P-256" }) {
			if (args[0].equals("sign")) {
				sign(kind, true, "DSS, " + kind + ".xml");
				sign(kind, false, "DSS, older, " + kind + ".xml");
				continue;
			}
			var trusted = new CommonTrustedCertificateSource();
			trusted.addCertificate(DSSUtils.loadCertificate(new File(kind + ".pem")));
			var verifier = new CommonCertificateVerifier();
			verifier.setTrustedCertSources(trusted);
			for (String name : new String[] { "DSS, ", "DSS, older, ", "xades4j, " }) {
				var validator = SignedDocumentValidator.fromDocument(new FileDocument(name + kind + ".xml"));
				validator.setCertificateVerifier(verifier);
				var report = validator.validateDocument().getSimpleReport();
				String id = report.getFirstSignatureId();
				System.out.println("by " + name + kind + ": DSS: " + report.getSignatureFormat(id) + ", " + report.getIndication(id));
			}
		}
	}
}
JAVA
cat >Xades4j.java <<'JAVA'
import java.io.File;
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;

import org.w3c.dom.Document;
import org.w3c.dom.Element;
import xades4j.XAdES4jException;
import xades4j.production.Enveloped;
import xades4j.production.XadesBesSigningProfile;
import xades4j.providers.impl.DirectKeyingDataProvider;
import xades4j.providers.impl.PKIXCertificateValidationProvider;
import xades4j.verification.XadesVerificationProfile;

public class Xades4j {
	static Document parse(String name) throws Exception {
		var factory = DocumentBuilderFactory.newInstance();
		factory.setNamespaceAware(true);
		return factory.newDocumentBuilder().parse(new File(name));
	}

	public static void main(String[] args) throws Exception {
		for (String kind : new String[] { "RSA", "P-256" }) {
			var keys = KeyStore.getInstance("PKCS12");
			keys.load(new FileInputStream(kind + ".p12"), "password".toCharArray());
			String alias = keys.aliases().nextElement();
			var certificate = (X509Certificate) keys.getCertificate(alias);
			var signer = new XadesBesSigningProfile(new DirectKeyingDataProvider(certificate, (PrivateKey) keys.getKey(alias, "password".toCharArray()))).newSigner();
			var order = parse("order.xml");
			new Enveloped(signer).sign(order.getDocumentElement());
			TransformerFactory.newInstance().newTransformer().transform(new DOMSource(order), new StreamResult(new File("xades4j, " + kind + ".xml")));

			var trusted = KeyStore.getInstance("PKCS12");
			trusted.load(null, null);
			trusted.setCertificateEntry("signer", certificate);
			var profile = new XadesVerificationProfile(PKIXCertificateValidationProvider.builder(trusted).checkRevocation(false).build());
			for (String name : new String[] { "DSS, ", "DSS, older, ", "xades4j, " }) {
				var signature = (Element) parse(name + kind + ".xml").getElementsByTagNameNS("http://www.w3.org/2000/09/xmldsig#", "Signature").item(0);
				String result;
				try {
					result = profile.newVerifier().verify(signature, null).getSignatureForm().toString();
				} catch (XAdES4jException exception) {
					result = exception.getClass().getSimpleName() + ": " + exception.getMessage();
				}
				System.out.println("by " + name + kind + ": xades4j: " + result);
			}
		}
	}
}
JAVA
got=$(
	java -XX:TieredStopAtLevel=1 -cp "$(<dss/classpath)" Dss.java sign 2>/dev/null
	java -XX:TieredStopAtLevel=1 -cp "$(<xades4j/classpath)" Xades4j.java 2>/dev/null
	java -XX:TieredStopAtLevel=1 -cp "$(<dss/classpath)" Dss.java validate 2>/dev/null
	for name in "DSS, " "DSS, older, " "xades4j, "; do
		for kind in RSA P-256; do
			result=$(xmlsec1 --verify --insecure --id-attr:Id http://uri.etsi.org/01903/v1.3.2#:SignedProperties --id-attr:Id http://www.w3.org/2000/09/xmldsig#:Object "$name$kind.xml" 2>&1 | head -n 1)
			echo "by $name$kind: xmlsec1: $result, $(grep -o '<xades:SigningCertificate[V2]*>' "$name$kind.xml")"
		done
	done
)
want="by DSS, RSA: xades4j: InvalidXAdESFormException: Signature doesn't follow any of the XAdES forms
by DSS, older, RSA: xades4j: XAdES-BES
by xades4j, RSA: xades4j: XAdES-BES
by DSS, P-256: xades4j: InvalidXAdESFormException: Signature doesn't follow any of the XAdES forms
by DSS, older, P-256: xades4j: XAdES-BES
by xades4j, P-256: xades4j: XAdES-BES
by DSS, RSA: DSS: XAdES-BASELINE-B, TOTAL_PASSED
by DSS, older, RSA: DSS: XAdES-BASELINE-B, TOTAL_PASSED
by xades4j, RSA: DSS: XAdES-BASELINE-B, TOTAL_PASSED
by DSS, P-256: DSS: XAdES-BASELINE-B, TOTAL_PASSED
by DSS, older, P-256: DSS: XAdES-BASELINE-B, TOTAL_PASSED
by xades4j, P-256: DSS: XAdES-BASELINE-B, TOTAL_PASSED
by DSS, RSA: xmlsec1: OK, <xades:SigningCertificateV2>
by DSS, P-256: xmlsec1: OK, <xades:SigningCertificateV2>
by DSS, older, RSA: xmlsec1: OK, <xades:SigningCertificate>
by DSS, older, P-256: xmlsec1: OK, <xades:SigningCertificate>
by xades4j, RSA: xmlsec1: OK, <xades:SigningCertificate>
by xades4j, P-256: xmlsec1: OK, <xades:SigningCertificate>"
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
