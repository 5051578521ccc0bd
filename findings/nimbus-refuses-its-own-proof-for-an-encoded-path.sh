#!/usr/bin/env bash
# Nimbus refuses DPoP proofs for most URLs with a percent sign, those that it made itself too.
#
# Software:  Nimbus OAuth 2.0 SDK with OpenID Connect extensions 11.38.2, as published on Maven Central.
# Behaviour: DefaultDPoPProofFactory makes a proof for https://api.example/orders/a%3Ab, with that htu.
#            DPoPProtectedResourceRequestVerifier is told that the request went to that URL, and refuses
#            it: "JWT htu claim value rejected". It does so for "%3A", "%2B", "%2F" and "%C3%B8" (the
#            letter "ø"), and not for "%20". DPoPTokenRequestVerifier does the same with the path of a
#            token endpoint.
# Surprise:  By RFC 9449 section 4.3, htu must match the URL, after normalization at most, and these two
#            are the same characters. A resource server that is tested with letters, digits and spaces
#            works, until somebody is called Øst.
# Needs:     bash, Java 17, Maven.
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
      <artifactId>oauth2-oidc-sdk</artifactId>
      <version>11.38.2</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
cat >Proofs.java <<'JAVA'
import java.net.URI;
import java.util.Set;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.oauth2.sdk.dpop.DPoPProofFactory;
import com.nimbusds.oauth2.sdk.dpop.DefaultDPoPProofFactory;
import com.nimbusds.oauth2.sdk.dpop.JWKThumbprintConfirmation;
import com.nimbusds.oauth2.sdk.dpop.verifiers.DPoPIssuer;
import com.nimbusds.oauth2.sdk.dpop.verifiers.DPoPProtectedResourceRequestVerifier;
import com.nimbusds.oauth2.sdk.dpop.verifiers.DPoPTokenRequestVerifier;
import com.nimbusds.oauth2.sdk.dpop.verifiers.InvalidDPoPProofException;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.token.DPoPAccessToken;
import com.nimbusds.openid.connect.sdk.Nonce;

public class Proofs {
	public static void main(String[] args) throws Exception {
		Set<JWSAlgorithm> algorithms = Set.of(JWSAlgorithm.ES256);
		ECKey key = new ECKeyGenerator(Curve.P_256).generate();
		DPoPProofFactory factory = new DefaultDPoPProofFactory(key, JWSAlgorithm.ES256);
		DPoPAccessToken token = new DPoPAccessToken("token");
		JWKThumbprintConfirmation confirmation = new JWKThumbprintConfirmation(key.computeThumbprint());
		DPoPIssuer client = new DPoPIssuer(new ClientID("client"));
		for (String path : new String[] {"/orders/ab", "/orders/a%20b", "/orders/a%3Ab", "/orders/a%2Bb", "/orders/a%2Fb", "/orders/%C3%B8st"}) {
			URI url = new URI("https://api.example" + path);
			SignedJWT proof = factory.createDPoPJWT("GET", url, token);
			String result = "accepted";
			try {
				new DPoPProtectedResourceRequestVerifier(algorithms, 10, 60, null).verify("GET", url, client, proof, token, confirmation, (Nonce) null);
			} catch (InvalidDPoPProofException refused) {
				result = "refused, " + refused.getMessage();
			}
			System.out.println(path + ", htu the same: " + url.toString().equals(proof.getJWTClaimsSet().getStringClaim("htu")) + ": " + result);
		}
		URI endpoint = new URI("https://api.example/tenants/%C3%B8st/token");
		try {
			new DPoPTokenRequestVerifier(algorithms, endpoint, 10, 60, null).verify(client, factory.createDPoPJWT("POST", endpoint), (Nonce) null);
			System.out.println("token endpoint: accepted");
		} catch (InvalidDPoPProofException refused) {
			System.out.println("token endpoint: refused, " + refused.getMessage());
		}
	}
}
JAVA
want='/orders/ab, htu the same: true: accepted
/orders/a%20b, htu the same: true: accepted
/orders/a%3Ab, htu the same: true: refused, Invalid DPoP proof: JWT htu claim value rejected
/orders/a%2Bb, htu the same: true: refused, Invalid DPoP proof: JWT htu claim value rejected
/orders/a%2Fb, htu the same: true: refused, Invalid DPoP proof: JWT htu claim value rejected
/orders/%C3%B8st, htu the same: true: refused, Invalid DPoP proof: JWT htu claim value rejected
token endpoint: refused, Invalid DPoP proof: JWT htu claim value rejected'
got=$(java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Proofs.java)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
