#!/usr/bin/env bash
# Nimbus, jose4j and JJWT sign RS256 with a key in an HSM, and look for PS256 in the wrong place.
#
# Software:  nimbus-jose-jwt 10.10, jose4j 0.9.6 and jjwt 0.13.0, as published on Maven Central; SunPKCS11 of Java 17
#            (tried with OpenJDK 17.0.15) and SoftHSM 2.6.1, of Debian 12.
# Behaviour: An RSA key is in a token, and Security.addProvider has put SunPKCS11 behind the other providers. With the
#            same key object, all three sign RS256. For PS256, they fail with "key must be RSAPrivateKey", though
#            the token has the mechanism. They set the parameters of the signature before the key, so Java has to
#            choose a provider by then, and takes the first that knows RSASSA-PSS, which wants the key itself. If
#            the key comes first, Java finds the token. If the provider is named to the library, or is put in the
#            first place, PS256 works.
# Surprise:  Java's guide to PKCS #11 has it that the key decides about the provider, and RS256 bears it out. The
#            error sounds as if something were wrong with the key. FAPI 2.0 allows PS256 and not RS256, so this
#            comes up when a client that works is made to conform.
# Needs:     bash, Java 17, Maven; Debian 12's softhsm2.
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
      <version>10.10</version>
    </dependency>
    <dependency>
      <groupId>org.bitbucket.b_c</groupId>
      <artifactId>jose4j</artifactId>
      <version>0.9.6</version>
    </dependency>
    <dependency>
      <groupId>io.jsonwebtoken</groupId>
      <artifactId>jjwt-impl</artifactId>
      <version>0.13.0</version>
    </dependency>
    <dependency>
      <groupId>io.jsonwebtoken</groupId>
      <artifactId>jjwt-jackson</artifactId>
      <version>0.13.0</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
mkdir tokens
printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$dir" >softhsm2.conf
export SOFTHSM2_CONF=$dir/softhsm2.conf
softhsm2-util --init-token --free --label test --so-pin 1234 --pin 1234 >/dev/null
slot=$(softhsm2-util --show-slots | sed -n 's/^Slot //p' | sort -rn | head -n 1)
printf 'name = test\nlibrary = /usr/lib/softhsm/libsofthsm2.so\nslot = %s\n' "$slot" >java.cfg
keytool -keystore NONE -storetype PKCS11 -providerClass sun.security.pkcs11.SunPKCS11 -providerArg java.cfg -storepass 1234 \
	-genkeypair -alias key -keyalg RSA -keysize 2048 -dname CN=key >/dev/null 2>&1
cat >Main.java <<'JAVA'
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSObject;
import com.nimbusds.jose.Payload;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jose.crypto.RSASSAVerifier;
import io.jsonwebtoken.Jwts;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.RSAPublicKeySpec;
import java.util.concurrent.Callable;
import org.jose4j.jca.ProviderContext;
import org.jose4j.jws.JsonWebSignature;

class Main {
    static PrivateKey key;

    public static void main(String[] args) throws Exception {
        Provider token = Security.getProvider("SunPKCS11").configure("java.cfg");
        var store = KeyStore.getInstance("PKCS11", token);
        store.load(null, "1234".toCharArray());
        key = (PrivateKey) store.getKey("key", null);
        var certified = (RSAPublicKey) store.getCertificate("key").getPublicKey();
        var publicKey = (RSAPublicKey) KeyFactory.getInstance("RSA", "SunRsaSign")
            .generatePublic(new RSAPublicKeySpec(certified.getModulus(), certified.getPublicExponent()));
        Security.addProvider(token);
        all("behind the others", null, publicKey);
        all("behind the others, and named", token, publicKey);
        Security.removeProvider(token.getName());
        Security.insertProviderAt(token, 1);
        all("in the first place", null, publicKey);
    }

    static void all(String place, Provider provider, RSAPublicKey publicKey) {
        System.out.println(place);
        if (provider == null) {
            show("Signature, parameters first", () -> sign(true));
            show("Signature, key first", () -> sign(false));
        }
        for (var alg : new String[] {"RS256", "PS256"}) {
            show("Nimbus, " + alg, () -> nimbus(alg, provider, publicKey));
            show("jose4j, " + alg, () -> jose4j(alg, provider, publicKey));
            show("JJWT, " + alg, () -> jjwt(alg, provider, publicKey));
        }
    }

    static void show(String name, Callable<Boolean> call) {
        String result;
        try {
            result = call.call() ? "signs" : "wrong signature";
        } catch (Exception e) {
            Throwable cause = e;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            result = cause.getMessage();
        }
        System.out.println("  " + name + ": " + result);
    }

    static boolean sign(boolean parametersFirst) throws Exception {
        var parameters = new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1);
        var signature = Signature.getInstance("RSASSA-PSS");
        if (parametersFirst) {
            signature.setParameter(parameters);
        }
        signature.initSign(key);
        if (!parametersFirst) {
            signature.setParameter(parameters);
        }
        return signature.sign().length == 256;
    }

    static boolean nimbus(String alg, Provider provider, RSAPublicKey publicKey) throws Exception {
        var jws = new JWSObject(new JWSHeader(JWSAlgorithm.parse(alg)), new Payload("payload"));
        var signer = new RSASSASigner(key);
        if (provider != null) {
            signer.getJCAContext().setProvider(provider);
        }
        jws.sign(signer);
        return JWSObject.parse(jws.serialize()).verify(new RSASSAVerifier(publicKey));
    }

    static boolean jose4j(String alg, Provider provider, RSAPublicKey publicKey) throws Exception {
        var jws = new JsonWebSignature();
        jws.setPayload("payload");
        jws.setAlgorithmHeaderValue(alg);
        jws.setKey(key);
        if (provider != null) {
            var context = new ProviderContext();
            context.getSuppliedKeyProviderContext().setSignatureProvider(provider.getName());
            jws.setProviderContext(context);
        }
        var text = jws.getCompactSerialization();
        jws = new JsonWebSignature();
        jws.setCompactSerialization(text);
        jws.setKey(publicKey);
        return jws.verifySignature();
    }

    static boolean jjwt(String alg, Provider provider, RSAPublicKey publicKey) throws Exception {
        var algorithm = alg.equals("RS256") ? Jwts.SIG.RS256 : Jwts.SIG.PS256;
        var text = Jwts.builder().provider(provider).subject("subject").signWith(key, algorithm).compact();
        var parser = Jwts.parser().verifyWith(publicKey).build();
        return parser.parseSignedClaims(text).getPayload().getSubject().equals("subject");
    }
}
JAVA
want='behind the others
  Signature, parameters first: key must be RSAPrivateKey
  Signature, key first: signs
  Nimbus, RS256: signs
  jose4j, RS256: signs
  JJWT, RS256: signs
  Nimbus, PS256: key must be RSAPrivateKey
  jose4j, PS256: key must be RSAPrivateKey
  JJWT, PS256: key must be RSAPrivateKey
behind the others, and named
  Nimbus, RS256: signs
  jose4j, RS256: signs
  JJWT, RS256: signs
  Nimbus, PS256: signs
  jose4j, PS256: signs
  JJWT, PS256: signs
in the first place
  Signature, parameters first: signs
  Signature, key first: signs
  Nimbus, RS256: signs
  jose4j, RS256: signs
  JJWT, RS256: signs
  Nimbus, PS256: signs
  jose4j, PS256: signs
  JJWT, PS256: signs'
got=$(java -cp "$(<classpath)" Main.java 2>/dev/null)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
