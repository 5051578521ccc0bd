#!/usr/bin/env bash
# signxml says of a signed XML that EU DSS makes that it has been changed.
#
# Software:  DSS 6.4 (dss-xades), as published on Maven Central; signxml 5.2.0, as published on PyPI; the
#            XML signatures of Java 17 (javax.xml.crypto).
# Behaviour: DSS signs XML as XAdES-BASELINE-B, enveloped, with its defaults: it takes the signature out
#            of what is signed by the transform "XPath Filter 2.0". signxml does not know it, passes over
#            it, and reports "Digest mismatch for reference 0". Java finds the signature good. An
#            enveloping signature, which needs no such transform, is good for all.
# Surprise:  DSS is the reference of the European Commission, and signxml has XAdES as a feature. The
#            error is the one for a document that somebody has tampered with, and not "transform is not
#            supported".
# Needs:     bash, Java 17, Maven, OpenSSL, Python 3.
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
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check signxml==5.2.0 lxml==6.1.3 cryptography==50.0.2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=signer 2>/dev/null
openssl pkcs12 -export -inkey key.pem -in certificate.pem -passout pass:secret -out store.p12
echo '<order><item>1</item></order>' >order.xml
cat >Sign.java <<'JAVA'
import java.io.File;
import java.security.KeyStore.PasswordProtection;
import javax.xml.crypto.dsig.XMLSignature;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMValidateContext;
import javax.xml.parsers.DocumentBuilderFactory;

import eu.europa.esig.dss.enumerations.SignatureLevel;
import eu.europa.esig.dss.enumerations.SignaturePackaging;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.token.DSSPrivateKeyEntry;
import eu.europa.esig.dss.token.Pkcs12SignatureToken;
import eu.europa.esig.dss.xades.XAdESSignatureParameters;
import eu.europa.esig.dss.xades.signature.XAdESService;
import org.w3c.dom.Element;

public class Sign {
	public static void main(String[] args) throws Exception {
		Pkcs12SignatureToken token = new Pkcs12SignatureToken("store.p12", new PasswordProtection("secret".toCharArray()));
		DSSPrivateKeyEntry key = token.getKeys().get(0);
		XAdESService service = new XAdESService(new CommonCertificateVerifier());
		FileDocument order = new FileDocument("order.xml");
		for (SignaturePackaging packaging : new SignaturePackaging[] {SignaturePackaging.ENVELOPED, SignaturePackaging.ENVELOPING}) {
			XAdESSignatureParameters parameters = new XAdESSignatureParameters();
			parameters.setSignatureLevel(SignatureLevel.XAdES_BASELINE_B);
			parameters.setSignaturePackaging(packaging);
			parameters.setSigningCertificate(key.getCertificate());
			var value = token.sign(service.getDataToSign(order, parameters), parameters.getDigestAlgorithm(), key);
			service.signDocument(order, parameters, value).save(packaging + ".xml");
			System.out.println(packaging + ": Java: " + (verify(packaging + ".xml", key) ? "good" : "bad"));
		}
	}

	static boolean verify(String file, DSSPrivateKeyEntry key) throws Exception {
		DocumentBuilderFactory builders = DocumentBuilderFactory.newInstance();
		builders.setNamespaceAware(true);
		var document = builders.newDocumentBuilder().parse(new File(file));
		var context = new DOMValidateContext(key.getCertificate().getPublicKey(), document.getElementsByTagNameNS(XMLSignature.XMLNS, "Signature").item(0));
		var elements = document.getElementsByTagNameNS("*", "*");
		for (int i = 0; i < elements.getLength(); i++) {
			Element element = (Element) elements.item(i);
			if (element.hasAttribute("Id")) {
				context.setIdAttributeNS(element, null, "Id");
			}
		}
		return XMLSignatureFactory.getInstance("DOM").unmarshalXMLSignature(context).validate(context);
	}
}
JAVA
cat >main.py <<'PY'
from pathlib import Path

from signxml import InvalidSignature, SignatureConfiguration
from signxml.xades import XAdESVerifier

for packaging in "ENVELOPED", "ENVELOPING":
    try:
        XAdESVerifier().verify(
            Path(f"{packaging}.xml").read_bytes(),
            x509_cert=Path("certificate.pem").read_text(),
            expect_config=SignatureConfiguration(expect_references=2),
        )
        print(f"{packaging}: signxml: good")
    except InvalidSignature as error:
        print(f"{packaging}: signxml: {error}")
PY
want='ENVELOPED: Java: good
ENVELOPING: Java: good
ENVELOPED: signxml: Digest mismatch for reference 0 ()
ENVELOPING: signxml: good'
got=$(
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Sign.java 2>/dev/null
	venv/bin/python main.py
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
