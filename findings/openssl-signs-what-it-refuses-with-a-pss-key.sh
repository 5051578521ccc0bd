#!/usr/bin/env bash
# With a key for RSASSA-PSS alone, OpenSSL signs a CMS that nobody can verify, OpenSSL neither.
#
# Software:  OpenSSL 3.0 (tried with 3.0.22 of Debian 12), openssl cms; BouncyCastle 1.85, as published
#            on Maven Central.
# Behaviour: A key can be bound to RSASSA-PSS by its certificate (id-RSASSA-PSS, RFC 4055 section 1.2).
#            "openssl cms -sign" signs with it by RSASSA-PSS, exits with 0, and writes the algorithm
#            rsaEncryption into the CMS, which means PKCS #1 v1.5. "openssl cms -verify" says "illegal or
#            unsupported padding mode", and BouncyCastle that the signature is bad. With "-keyopt
#            rsa_padding_mode:pss", which the key allows alone, the algorithm is right and both verify
#            it.
# Surprise:  "openssl dgst", "openssl req" and "openssl x509" need no option: the key says it. A program
#            that changes to such a key goes on without an error, and its documents are worthless.
# Needs:     bash, Java 17, Maven, OpenSSL 3.
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
      <groupId>org.bouncycastle</groupId>
      <artifactId>bcpkix-jdk18on</artifactId>
      <version>1.85</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
cat >Verify.java <<'JAVA'
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Security;

import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

public class Verify {
	public static void main(String[] args) throws Exception {
		Security.addProvider(new BouncyCastleProvider());
		CMSSignedData message = new CMSSignedData(Files.readAllBytes(Path.of(args[0])));
		var signer = message.getSignerInfos().iterator().next();
		var certificate = (X509CertificateHolder) message.getCertificates().getMatches(signer.getSID()).iterator().next();
		System.out.println("  BouncyCastle verifies it: " + signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(certificate)));
	}
}
JAVA
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out key.pem 2>/dev/null
openssl req -x509 -new -key key.pem -out certificate.pem -days 2 -subj /CN=signer
printf document >document
# try OPTION...: signs with these options, and verifies.
try() {
	local status=0
	openssl cms -sign -binary -nodetach -outform DER -signer certificate.pem -inkey key.pem "$@" -in document -out message || status=$?
	echo "signed with ${*:-no option}: exit status $status"
	echo "  algorithm: $(openssl asn1parse -inform DER -in message | grep -o 'rsaEncryption\|rsassaPss' | tail -1)"
	echo "  OpenSSL: $(openssl cms -verify -inform DER -in message -CAfile certificate.pem -out content 2>&1 | grep -o 'illegal or unsupported padding mode\|Verification successful')"
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Verify.java message
}
got=$(
	openssl dgst -sha256 -sign key.pem -out signature document
	echo "openssl dgst: $(openssl dgst -sha256 -verify <(openssl pkey -in key.pem -pubout) -signature signature document)"
	try
	try -keyopt rsa_padding_mode:pss
)
want='openssl dgst: Verified OK
signed with no option: exit status 0
  algorithm: rsaEncryption
  OpenSSL: illegal or unsupported padding mode
  BouncyCastle verifies it: false
signed with -keyopt rsa_padding_mode:pss: exit status 0
  algorithm: rsassaPss
  OpenSSL: Verification successful
  BouncyCastle verifies it: true'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
