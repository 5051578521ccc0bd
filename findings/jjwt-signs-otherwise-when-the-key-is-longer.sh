#!/usr/bin/env bash
# JJWT signs with another algorithm when the RSA key is longer, and oidc-provider refuses that one.
#
# Software:  JJWT 0.12.6 (io.jsonwebtoken), as published on Maven Central; oidc-provider 9.13.3, as
#            published on npm.
# Behaviour: signWith(key) of JJWT makes a client assertion by RS256 if the RSA key has 2048 bits, by
#            RS384 if it has 3072, and by RS512 if it has 4096. oidc-provider with its defaults takes
#            RS256, and refuses the others: 401 invalid_client. With Jwts.SIG.RS256 as second argument,
#            JJWT signs by RS256 with each, and all are let in.
# Surprise:  The length of an RSA key has nothing to do with the hash: RFC 7518 section 3.3 has 2048 bits
#            or more for all three. Other libraries sign by RS256, or by what they are told. Who renews a
#            key and makes it longer changes "alg", and the server says that the client is unknown.
# Needs:     bash, curl, Java 17, Maven, Node.js 20 or newer, npm, OpenSSL.
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
npm install --silent --no-audit --no-fund oidc-provider@9.13.3 </dev/null >/dev/null
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>0</version>
  <dependencies>
    <dependency>
      <groupId>io.jsonwebtoken</groupId>
      <artifactId>jjwt-impl</artifactId>
      <version>0.12.6</version>
    </dependency>
    <dependency>
      <groupId>io.jsonwebtoken</groupId>
      <artifactId>jjwt-jackson</artifactId>
      <version>0.12.6</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
for bits in 2048 3072 4096; do
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:$bits -out $bits.pem 2>/dev/null
	openssl pkcs8 -topk8 -nocrypt -in $bits.pem -outform DER -out $bits.der
done
cat >server.mjs <<'JS'
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: ['2048', '3072', '4096'].map((client_id) => ({
    client_id, token_endpoint_auth_method: 'private_key_jwt', grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
    jwks: { keys: [createPublicKey(readFileSync(`${client_id}.pem`)).export({ format: 'jwk' })] },
  })),
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
});
server.on('request', provider.callback());
console.log(issuer);
JS
cat >Sign.java <<'JAVA'
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Date;
import java.util.UUID;

import io.jsonwebtoken.JwtBuilder;
import io.jsonwebtoken.Jwts;

public class Sign {
	public static void main(String[] args) throws Exception {
		for (String bits : new String[] {"2048", "3072", "4096"}) {
			PrivateKey key = KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(Path.of(bits + ".der"))));
			Files.writeString(Path.of(bits + ".by-itself"), claims(bits, args[0]).signWith(key).compact());
			Files.writeString(Path.of(bits + ".told"), claims(bits, args[0]).signWith(key, Jwts.SIG.RS256).compact());
		}
	}

	static JwtBuilder claims(String client, String issuer) {
		return Jwts.builder().issuer(client).subject(client).audience().single(issuer)
				.id(UUID.randomUUID().toString()).expiration(new Date(System.currentTimeMillis() + 60_000));
	}
}
JAVA
node server.mjs >log 2>&1 &
server=$!
for ((i = 0; ; i++)); do
	issuer=$(grep -o '^http://.*' log) && break
	((i < 100)) || { cat log; exit 1; }
	sleep 0.2
done
java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Sign.java "$issuer" 2>/dev/null
got=$(
	for name in by-itself told; do
		for bits in 2048 3072 4096; do
			alg=$(cut -d . -f 1 "$bits.$name" | tr -- '-_' '+/' | { base64 -d 2>/dev/null || true; } | grep -o 'RS[0-9]*')
			answer=$(curl -sS "$issuer/token" -d grant_type=client_credentials --data-urlencode client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer -d "client_assertion=$(<"$bits.$name")" -w ' %{http_code}')
			echo "$name, $bits bits: $alg, ${answer##* } $(grep -o '"error":"[a-z_]*"' <<<"$answer" | cut -d '"' -f 4)" | sed 's/ $//'
		done
	done
)
want='by-itself, 2048 bits: RS256, 200
by-itself, 3072 bits: RS384, 401 invalid_client
by-itself, 4096 bits: RS512, 401 invalid_client
told, 2048 bits: RS256, 200
told, 3072 bits: RS256, 200
told, 4096 bits: RS256, 200'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
