#!/usr/bin/env bash
# Nimbus gives one key three names: none, an alias, or the certificate's serial number.
#
# Software:  Nimbus JOSE + JWT 10.9.1 with BouncyCastle 1.85, as published on Maven Central.
# Behaviour: The kid of the JWK that Nimbus makes of an EC key depends on the file. A PEM of the
#            private key is refused, although it holds the public one, and with a PEM of that after
#            it, there is no kid. From a keystore, the kid is the alias. From the certificate, it is
#            the serial number, in decimal. It is never the thumbprint of RFC 7638.
# Surprise:  A JWK set that is made of a certificate names the key anew when the certificate is renewed,
#            though the key is the same. The program that signs reads the key from a keystore,
#            calls it by its alias, and the provider does not find it.
# Needs:     bash, Java 17, Maven, OpenSSL.
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
      <groupId>com.nimbusds</groupId>
      <artifactId>nimbus-jose-jwt</artifactId>
      <version>10.9.1</version>
    </dependency>
    <dependency>
      <groupId>org.bouncycastle</groupId>
      <artifactId>bcpkix-jdk18on</artifactId>
      <version>1.85</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem 2>/dev/null
openssl pkey -in key.pem -pubout | cat key.pem - >both.pem
for serial in 1234567 7654321; do # a certificate and the next one
	openssl req -x509 -new -key key.pem -set_serial $serial -days 2 -subj /CN=client -out $serial.pem
done
openssl pkcs12 -export -inkey key.pem -in 1234567.pem -name client -passout pass:secret -out store.p12
cat >Kids.java <<'JAVA'
import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.jwk.JWK;

public class Kids {
	public static void main(String[] args) throws Exception {
		try {
			System.out.println(JWK.parseFromPEMEncodedObjects(Files.readString(Path.of("key.pem"))));
		} catch (JOSEException e) {
			System.out.println("PEM of the private key: " + e.getMessage());
		}
		JWK key = JWK.parseFromPEMEncodedObjects(Files.readString(Path.of("both.pem")));
		String thumbprint = key.computeThumbprint().toString();
		show("PEM of both keys", key, thumbprint);
		KeyStore store = KeyStore.getInstance("PKCS12");
		store.load(new FileInputStream("store.p12"), "secret".toCharArray());
		show("keystore", JWK.load(store, "client", "secret".toCharArray()), thumbprint);
		for (String name : new String[] {"1234567.pem", "7654321.pem"}) {
			String pem = Files.readString(Path.of(name));
			show(name + ", as PEM", JWK.parseFromPEMEncodedX509Cert(pem), thumbprint);
			X509Certificate certificate = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem.getBytes()));
			show(name + ", as certificate", JWK.parse(certificate), thumbprint);
		}
	}

	static void show(String name, JWK key, String thumbprint) throws Exception {
		System.out.println(name + ": kid " + key.getKeyID() + ", the same key: " + key.computeThumbprint().toString().equals(thumbprint));
	}
}
JAVA
want='PEM of the private key: Missing PEM-encoded public key to construct JWK
PEM of both keys: kid null, the same key: true
keystore: kid client, the same key: true
1234567.pem, as PEM: kid 1234567, the same key: true
1234567.pem, as certificate: kid 1234567, the same key: true
7654321.pem, as PEM: kid 7654321, the same key: true
7654321.pem, as certificate: kid 7654321, the same key: true'
got=$(java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Kids.java)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
