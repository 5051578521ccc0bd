#!/usr/bin/env bash
# Norway's ASiC library signs with SHA-1 and without the certificate's hash what it calls CAdES.
#
# Software:  no.difi.commons:commons-asic 0.12.0 with jaxb-runtime 2.3.9, as published on Maven Central;
#            OpenSSL 3.0.
# Behaviour: With SignatureMethod.CAdES the manifest has the SHA-256 of the file. The signature over the
#            manifest is a CMS by SHA-1, and has no signing-certificate attribute. With
#            SignatureMethod.XAdES it is by SHA-256, and has it. Of a key on P-256, both fail:
#            "SHA1withEC", which no provider has, and "not a RSAPrivateKey". Nothing can be set.
# Surprise:  What one looks at, the manifest, has SHA-256. ETSI TS 119 312 has no
#            SHA-1, and the attribute is what makes a CMS a CAdES (ETSI EN 319 122-1 section 6.3): "openssl
#            cms -verify -cades" refuses it, and so a receiver that keeps to the name.
# Needs:     bash, Java 17, Maven, OpenSSL 3, unzip.
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
      <groupId>no.difi.commons</groupId>
      <artifactId>commons-asic</artifactId>
      <version>0.12.0</version>
    </dependency>
    <dependency>
      <groupId>org.glassfish.jaxb</groupId>
      <artifactId>jaxb-runtime</artifactId>
      <version>2.3.9</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
make_signer() {
	openssl req -x509 -newkey "${@:2}" -nodes -keyout key.pem -out "$1.pem" -days 2 -subj /C=NO/CN=signer -addext keyUsage=critical,digitalSignature 2>/dev/null
	openssl pkcs12 -export -in "$1.pem" -inkey key.pem -name signer -passout pass:password -out "$1.p12"
}
make_signer RSA rsa:2048
make_signer EC ec -pkeyopt ec_paramgen_curve:P-256
cat >Make.java <<'JAVA'
import java.io.*;

import no.difi.asic.*;

public class Make {
	public static void main(String[] args) {
		for (String key : args) {
			for (SignatureMethod method : SignatureMethod.values()) {
				try {
					AsicWriterFactory.newFactory(method).newContainer(new File(key + method))
							.add(new ByteArrayInputStream("document".getBytes()), "avtale.pdf", MimeType.forString("application/pdf"))
							.sign(new SignatureHelper(new File(key + ".p12"), "password", KeyStoreType.PKCS12, "signer", "password"));
					System.out.println(key + ", " + method + ": made");
				} catch (Exception e) {
					Throwable cause = e;
					while (cause.getCause() != null) {
						cause = cause.getCause();
					}
					System.out.println(key + ", " + method + ": " + cause.getMessage());
				}
			}
		}
	}
}
JAVA
want='RSA, CAdES: made
RSA, XAdES: made
EC, CAdES: Unknown signature type requested: SHA1withEC
EC, XAdES: Supplied key (sun.security.ec.ECPrivateKeyImpl) is not a RSAPrivateKey instance
manifest: http://www.w3.org/2001/04/xmlenc#sha256
CMS, hash: sha1
CMS, signing-certificate: 0
OpenSSL: CMS Verification successful
OpenSSL, -cades: missing signing certificate attribute
XAdES: http://www.w3.org/2001/04/xmldsig-more#rsa-sha256, SigningCertificate 1'
got=$(
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Make.java RSA EC 2>/dev/null
	unzip -p RSACAdES META-INF/ASiCManifest.xml >manifest.xml
	unzip -p RSACAdES 'META-INF/*.p7s' >signature.p7s
	openssl cms -cmsout -print -noout -inform DER -in signature.p7s >printed
	echo "manifest: $(sed -n 's/.*DigestMethod Algorithm="\([^"]*\)".*/\1/p' manifest.xml)"
	echo "CMS, hash: $(sed -n '/signerInfos/,$p' printed | sed -n '/digestAlgorithm/{n;s/.*: *\([a-z0-9]*\) .*/\1/p}')"
	echo "CMS, signing-certificate: $(grep -ci signingCertificate printed || true)"
	verify=(openssl cms -verify -binary -inform DER -in signature.p7s -content manifest.xml -CAfile RSA.pem -purpose any -out content)
	echo "OpenSSL: $("${verify[@]}" 2>&1 || true)"
	echo "OpenSSL, -cades: $("${verify[@]}" -cades 2>&1 | grep -o 'missing signing certificate attribute' || true)"
	unzip -p RSAXAdES META-INF/signatures.xml >signatures.xml
	echo "XAdES: $(grep -o '<SignatureMethod Algorithm="[^"]*' signatures.xml | cut -d '"' -f 2), SigningCertificate $(grep -o '<[a-z0-9:]*SigningCertificate>' signatures.xml | wc -l)"
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
