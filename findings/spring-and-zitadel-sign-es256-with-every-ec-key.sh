#!/usr/bin/env bash
# Two OAuth clients take every EC key for one of P-256, and fail with the others.
#
# Software:  Spring Security 7.1.2 (spring-security-oauth2-client), as published on Maven Central;
#            github.com/zitadel/oidc/v3 v3.51.17.
# Behaviour: NimbusJwtClientAuthenticationParametersConverter of Spring signs client assertions
#            (private_key_jwt). If the JWK has no "alg", it chooses RS256 for RSA and ES256 for EC,
#            whatever the curve. With a key of P-384 or P-521 the token request fails before it is sent:
#            "The ES256 algorithm is not allowed or supported by the JWS signer". With "alg" in the JWK
#            it works. NewSignerFromPrivateKeyByte of zitadel/oidc takes a PEM, chooses ES256 too, and
#            returns no error. The first signature fails: "expected 256 bit key, got 384 bits instead".
# Surprise:  For ECDSA the curve decides: RFC 7518 section 3.4 has one algorithm for each. "alg" is
#            optional (RFC 7517 section 4.4), and a JWK that Nimbus reads from a PEM or a keystore has
#            none. Whoever moves from P-256 to P-384 finds an error about an algorithm that is named
#            nowhere in the application.
# Needs:     bash, Go, Java 17, Maven, OpenSSL.
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
      <groupId>org.springframework.security</groupId>
      <artifactId>spring-security-oauth2-client</artifactId>
      <version>7.1.2</version>
    </dependency>
    <dependency>
      <groupId>org.springframework.security</groupId>
      <artifactId>spring-security-oauth2-jose</artifactId>
      <version>7.1.2</version>
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
for curve in P-256 P-384 P-521; do
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$curve -out $curve.key
	openssl pkey -in $curve.key -pubout | cat $curve.key - >$curve.pem
done
cat >Assertion.java <<'JAVA'
import java.nio.file.Files;
import java.nio.file.Path;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jwt.SignedJWT;
import org.springframework.security.oauth2.client.endpoint.NimbusJwtClientAuthenticationParametersConverter;
import org.springframework.security.oauth2.client.endpoint.OAuth2ClientCredentialsGrantRequest;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.jwt.JwtEncodingException;

public class Assertion {
	public static void main(String[] args) throws Exception {
		for (String curve : args) {
			ECKey key = JWK.parseFromPEMEncodedObjects(Files.readString(Path.of(curve + ".pem"))).toECKey();
			JWSAlgorithm algorithm = new ECDSASigner(key).supportedECDSAAlgorithm();
			show(curve + ", Spring, alg " + key.getAlgorithm(), key);
			show(curve + ", Spring, alg " + algorithm, new ECKey.Builder(key).algorithm(algorithm).build());
		}
	}

	static void show(String name, ECKey key) throws Exception {
		ClientRegistration registration = ClientRegistration.withRegistrationId("bank").clientId("client")
				.authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
				.clientAuthenticationMethod(ClientAuthenticationMethod.PRIVATE_KEY_JWT)
				.tokenUri("https://issuer.example/token").build();
		var converter = new NimbusJwtClientAuthenticationParametersConverter<OAuth2ClientCredentialsGrantRequest>(r -> key);
		try {
			var form = converter.convert(new OAuth2ClientCredentialsGrantRequest(registration));
			System.out.println(name + ": signed with " + SignedJWT.parse(form.getFirst("client_assertion")).getHeader().getAlgorithm());
		} catch (JwtEncodingException e) {
			System.out.println(name + ": " + e.getMessage().replaceFirst(".* -> ", ""));
		}
	}
}
JAVA
cat >go.mod <<'MOD'
module finding

go 1.26.0

require github.com/zitadel/oidc/v3 v3.51.17
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client"
)

func main() {
	for _, curve := range os.Args[1:] {
		key, _ := os.ReadFile(curve + ".key")
		signer, err := client.NewSignerFromPrivateKeyByte(key, "kid")
		fmt.Printf("%s, zitadel: signer %v, ", curve, err)
		_, err = client.SignedJWTProfileAssertion("client", []string{"https://issuer.example"}, time.Minute, signer)
		fmt.Printf("assertion %v\n", err)
	}
}
GO
go mod tidy >/dev/null 2>&1
want='P-256, Spring, alg null: signed with ES256
P-256, Spring, alg ES256: signed with ES256
P-384, Spring, alg null: The ES256 algorithm is not allowed or supported by the JWS signer: Supported algorithms: [ES384]
P-384, Spring, alg ES384: signed with ES384
P-521, Spring, alg null: The ES256 algorithm is not allowed or supported by the JWS signer: Supported algorithms: [ES512]
P-521, Spring, alg ES512: signed with ES512
P-256, zitadel: signer <nil>, assertion <nil>
P-384, zitadel: signer <nil>, assertion go-jose/go-jose: expected 256 bit key, got 384 bits instead
P-521, zitadel: signer <nil>, assertion go-jose/go-jose: expected 256 bit key, got 521 bits instead'
got=$(
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Assertion.java P-256 P-384 P-521
	go run . P-256 P-384 P-521
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
