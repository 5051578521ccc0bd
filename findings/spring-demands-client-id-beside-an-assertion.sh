#!/usr/bin/env bash
# Spring Authorization Server demands client_id beside a client assertion.
#
# Software:  Spring Authorization Server 7.1.2 (Spring Boot 4.1.2), as published on Maven
#            Central, as HttpSecurity.oauth2AuthorizationServer sets it up: without OpenID Connect.
# Behaviour: A token request by private_key_jwt is refused with 400 invalid_request if it
#            has no client_id. RFC 7521 section 4.2 has it optional: "unnecessary for client
#            assertion authentication because the client is identified by the subject within the
#            assertion". After the client's key set has changed, the key that is gone from it
#            is taken still, until some request bears a kid that the server does not know.
#            /.well-known/openid-configuration is 404.
# Surprise:  The code is that of a request that is malformed, and nothing says what is
#            missing. A rotated key does not end the one before.
# Needs:     bash, curl, Java 17, Maven, OpenSSL.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
server=
stop() {
	if [[ $server ]]; then
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap stop EXIT
cd "$dir"
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <parent>
    <groupId>org.springframework.boot</groupId>
    <artifactId>spring-boot-starter-parent</artifactId>
    <version>4.1.2</version>
    <relativePath/>
  </parent>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>0</version>
  <properties>
    <java.version>17</java.version>
  </properties>
  <dependencies>
    <dependency>
      <groupId>org.springframework.boot</groupId>
      <artifactId>spring-boot-starter-security-oauth2-authorization-server</artifactId>
    </dependency>
    <dependency>
      <groupId>org.springframework.boot</groupId>
      <artifactId>spring-boot-starter-webmvc</artifactId>
    </dependency>
  </dependencies>
</project>
XML
mkdir -p src/main/java/finding
cat >src/main/java/finding/Server.java <<'JAVA'
package finding;

import java.nio.file.Files;
import java.nio.file.Path;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.Environment;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configuration.WebSecurityCustomizer;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.server.authorization.client.InMemoryRegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClient;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.settings.ClientSettings;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class Server {
	public static void main(String[] args) {
		SpringApplication.run(Server.class, args);
	}

	@Bean
	SecurityFilterChain security(HttpSecurity http) throws Exception {
		return http.oauth2AuthorizationServer(server -> { }).build();
	}

	@Bean
	WebSecurityCustomizer keysArePublic() {
		return web -> web.ignoring().requestMatchers("/keys");
	}

	@Bean
	RegisteredClientRepository clients(Environment env) {
		return new InMemoryRegisteredClientRepository(RegisteredClient.withId("c").clientId("c")
				.clientAuthenticationMethod(ClientAuthenticationMethod.PRIVATE_KEY_JWT)
				.authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
				.clientSettings(ClientSettings.builder()
						.jwkSetUrl("http://127.0.0.1:" + env.getProperty("server.port") + "/keys")
						.tokenEndpointAuthenticationSigningAlgorithm(SignatureAlgorithm.RS256)
						.build())
				.build());
	}

	@GetMapping(path = "/keys", produces = "application/json")
	String keys() throws Exception {
		return Files.readString(Path.of("keys.json"));
	}
}
JAVA
mvn -q -B compile org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null

base64url() { basenc --base64url -w0 | tr -d =; }
for key in old new; do
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $key.pem 2>/dev/null
	n=$(openssl rsa -in $key.pem -noout -modulus | sed 's/Modulus=//' | basenc --base16 -d | base64url)
	printf '{"keys":[{"kty":"RSA","kid":"%s","use":"sig","n":"%s","e":"AQAB"}]}' $key "$n" >$key.json
done
cp old.json keys.json

port=$((20000 + RANDOM % 10000))
issuer=http://127.0.0.1:$port
java -XX:TieredStopAtLevel=1 -cp "target/classes:$(<classpath)" finding.Server --server.address=127.0.0.1 --server.port=$port </dev/null >log 2>&1 &
server=$!
for ((i = 0; ; i++)); do
	! curl -fs -o /dev/null "$issuer/.well-known/oauth-authorization-server" || break
	((i < 120)) || { cat log; exit 1; }
	sleep 0.5
done

# request KEY FIELDS... asks for a token with an assertion by the key.
request() {
	local key=$1 now signed
	shift
	now=$(date +%s)
	signed=$(printf '{"alg":"RS256","kid":"%s"}' "$key" | base64url)
	signed+=.$(printf '{"iss":"c","sub":"c","aud":"%s","jti":"%s","iat":%s,"exp":%s}' "$issuer" $RANDOM$RANDOM "$now" $((now + 60)) | base64url)
	curl -sS "$issuer/oauth2/token" -d grant_type=client_credentials "$@" -w ' %{http_code}\n' \
		-d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
		-d "client_assertion=$signed.$(printf %s "$signed" | openssl dgst -sha256 -sign "$key.pem" -binary | base64url)" |
		sed 's/"access_token":"[^"]*"/"access_token":…/; s/"expires_in":[0-9]*/"expires_in":…/'
}
got=$(
	curl -s -o /dev/null -w 'openid-configuration: %{http_code}\n' "$issuer/.well-known/openid-configuration"
	echo "without client_id: $(request old)"
	echo "with it: $(request old -d client_id=c)"
	cp new.json keys.json
	echo "the key before: $(request old -d client_id=c)"
	echo "the next key: $(request new -d client_id=c)"
	echo "the key before: $(request old -d client_id=c)"
)
want='openid-configuration: 404
without client_id: {"error":"invalid_request"} 400
with it: {"access_token":…,"token_type":"Bearer","expires_in":…} 200
the key before: {"access_token":…,"token_type":"Bearer","expires_in":…} 200
the next key: {"access_token":…,"token_type":"Bearer","expires_in":…} 200
the key before: {"error":"invalid_client"} 401'
printf '%s\n' "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
