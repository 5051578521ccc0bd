#!/usr/bin/env bash
# Jetty's client, and Java's with an authenticator, hide that oidc-provider says "invalid_client".
#
# Software:  jetty-client 12.1.14, as published on Maven Central; java.net.http of Java 17 (tried with OpenJDK
#            17.0.15); oidc-provider 9.13.3, as published on npm; curl 7.88.1 for comparison.
# Behaviour: A client authenticates in the body of the token request, and with a wrong secret. oidc-provider
#            answers 401, with {"error":"invalid_client"} and without WWW-Authenticate. Jetty's client
#            throws "HTTP protocol violation: Authentication challenge without WWW-Authenticate header".
#            java.net.http returns the 401. If it has an Authenticator, as it must have for a proxy with a
#            password, it throws "WWW-Authenticate header missing for response code 401". Neither error has
#            the body. With the secret in Basic, oidc-provider sends the header, and Jetty returns the 401.
# Surprise:  RFC 6749 section 5.2 has 401 for "invalid_client", and demands the header only if the client
#            used Authorization. RFC 9110 section 15.5.2 demands it with each 401. The provider keeps to the
#            one, and the clients to the other. What a program does about "invalid_client" does not run,
#            and what is logged sounds like a broken server.
# Needs:     bash, curl, Java 17, Maven, Node.js 20 or newer, npm.
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
      <groupId>org.eclipse.jetty</groupId>
      <artifactId>jetty-client</artifactId>
      <version>12.1.14</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
cat >server.mjs <<'JS'
import { once } from 'node:events';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: ['client_secret_post', 'client_secret_basic'].map((method) => ({
    client_id: method, client_secret: 'right', token_endpoint_auth_method: method,
    grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
  })),
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
});
server.on('request', provider.callback());
console.log(issuer);
JS
cat >Client.java <<'JAVA'
import java.net.Authenticator;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Base64;
import java.util.concurrent.ExecutionException;

import org.eclipse.jetty.client.StringRequestContent;

public class Client {
	static final String form = "application/x-www-form-urlencoded";
	static String url;

	public static void main(String[] args) throws Exception {
		url = args[0] + "/token";
		String post = "grant_type=client_credentials&client_id=client_secret_post&client_secret=wrong";
		String basic = "Basic " + Base64.getEncoder().encodeToString("client_secret_basic:wrong".getBytes());
		var jetty = new org.eclipse.jetty.client.HttpClient();
		jetty.start();
		jetty(jetty, "in the body", post, null);
		jetty(jetty, "in Basic", "grant_type=client_credentials", basic);
		jetty.stop();
		java("", HttpClient.newHttpClient(), post);
		java(" with an authenticator", HttpClient.newBuilder().authenticator(new Authenticator() { }).build(), post);
		System.exit(0);
	}

	static void jetty(org.eclipse.jetty.client.HttpClient client, String name, String body, String authorization) throws Exception {
		String result;
		try {
			var request = client.POST(url).body(new StringRequestContent(form, body));
			if (authorization != null) {
				request.headers(headers -> headers.put("Authorization", authorization));
			}
			var response = request.send();
			result = response.getStatus() + " " + response.getContentAsString();
		} catch (ExecutionException e) {
			result = e.getCause().getMessage();
		}
		System.out.println("Jetty, " + name + ": " + result);
	}

	static void java(String name, HttpClient client, String body) throws Exception {
		String result;
		try {
			var request = HttpRequest.newBuilder(URI.create(url)).header("Content-Type", form).POST(BodyPublishers.ofString(body));
			var response = client.send(request.build(), BodyHandlers.ofString());
			result = response.statusCode() + " " + response.body();
		} catch (java.io.IOException e) {
			result = e.getMessage();
		}
		System.out.println("java.net.http" + name + ", in the body: " + result);
	}
}
JAVA
node server.mjs >log 2>&1 &
server=$!
for ((i = 0; ; i++)); do
	issuer=$(grep -os '^http://.*' log) && break
	((i < 100)) || { cat log; exit 1; }
	sleep 0.2
done
# challenge CURL-ARGUMENTS... prints status and WWW-Authenticate of a token request.
challenge() { curl -sS -o body -w '%{http_code} %header{www-authenticate}' -d grant_type=client_credentials "$@" "$issuer/token"; }
got=$(
	echo "curl, in the body: $(challenge -d client_id=client_secret_post -d client_secret=wrong)" | sed 's/ $//'
	echo "curl, in Basic: $(challenge -u client_secret_basic:wrong)" | sed "s|$issuer|ISSUER|"
	timeout 120 java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Client.java "$issuer" 2>/dev/null
)
want='curl, in the body: 401
curl, in Basic: 401 Basic realm="ISSUER", error="invalid_client", error_description="client authentication failed"
Jetty, in the body: HTTP protocol violation: Authentication challenge without WWW-Authenticate header
Jetty, in Basic: 401 {"error":"invalid_client","error_description":"client authentication failed"}
java.net.http, in the body: 401 {"error":"invalid_client","error_description":"client authentication failed"}
java.net.http with an authenticator, in the body: WWW-Authenticate header missing for response code 401'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
