#!/usr/bin/env bash
# Spring fetches a token for each call if the server does not say how long it lives, or says a minute.
#
# Software:  Spring Security 7.1.2 (spring-security-oauth2-client) with jackson-databind 3.0.2, as
#            published on Maven Central; golang.org/x/oauth2 v0.37.0.
# Behaviour: For five calls by client credentials, Spring makes five token requests if the response has
#            no expires_in: it takes the token to live for a second. It does the same if expires_in is 60,
#            since a token counts as expired a minute before. With 120 and 300 it makes one request.
#            x/oauth2 makes one in each of these cases: without expires_in, a token lasts for ever.
# Surprise:  expires_in is recommended and no more (RFC 6749 section 5.1), and a server may leave it out
#            if the token's life is documented. Nothing fails, so nobody sees it: each call becomes two,
#            until the server refuses the client for too many requests.
# Needs:     bash, Go, Java 17, Maven.
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
      <groupId>tools.jackson.core</groupId>
      <artifactId>jackson-databind</artifactId>
      <version>3.0.2</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
cat >Fetch.java <<'JAVA'
import java.net.InetSocketAddress;
import java.util.concurrent.atomic.AtomicInteger;

import com.sun.net.httpserver.HttpServer;
import org.springframework.security.oauth2.client.*;
import org.springframework.security.oauth2.client.registration.*;
import org.springframework.security.oauth2.core.AuthorizationGrantType;

public class Fetch {
	public static void main(String[] args) throws Exception {
		for (String member : args) {
			var requests = new AtomicInteger();
			var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
			server.createContext("/", exchange -> {
				requests.incrementAndGet();
				byte[] body = ("{" + member + "\"access_token\":\"token\",\"token_type\":\"Bearer\"}").getBytes();
				exchange.getResponseHeaders().set("Content-Type", "application/json");
				exchange.sendResponseHeaders(200, body.length);
				exchange.getResponseBody().write(body);
				exchange.close();
			});
			server.start();
			var registrations = new InMemoryClientRegistrationRepository(ClientRegistration.withRegistrationId("registration")
					.clientId("client").clientSecret("secret").authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
					.tokenUri("http://127.0.0.1:" + server.getAddress().getPort() + "/").build());
			var manager = new AuthorizedClientServiceOAuth2AuthorizedClientManager(registrations, new InMemoryOAuth2AuthorizedClientService(registrations));
			for (int i = 0; i < 5; i++) {
				manager.authorize(OAuth2AuthorizeRequest.withClientRegistrationId("registration").principal("application").build());
			}
			System.out.println("Spring, {" + member + "...}: " + requests + " requests");
		}
		System.exit(0);
	}
}
JAVA
cat >go.mod <<'MOD'
module finding

go 1.26.0

require golang.org/x/oauth2 v0.37.0
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	for _, member := range os.Args[1:] {
		requests := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests++
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{%s"access_token":"token","token_type":"Bearer"}`, member)
		}))
		config := clientcredentials.Config{ClientID: "client", ClientSecret: "secret", TokenURL: server.URL}
		source := config.TokenSource(context.Background())
		for range 5 {
			if _, err := source.Token(); err != nil {
				panic(err)
			}
		}
		fmt.Printf("x/oauth2, {%s...}: %d requests\n", member, requests)
		server.Close()
	}
}
GO
go mod tidy >/dev/null 2>&1
members=('' '"expires_in":60,' '"expires_in":120,' '"expires_in":300,')
want='Spring, {...}: 5 requests
Spring, {"expires_in":60,...}: 5 requests
Spring, {"expires_in":120,...}: 1 requests
Spring, {"expires_in":300,...}: 1 requests
x/oauth2, {...}: 1 requests
x/oauth2, {"expires_in":60,...}: 1 requests
x/oauth2, {"expires_in":120,...}: 1 requests
x/oauth2, {"expires_in":300,...}: 1 requests'
got=$(
	timeout 120 java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Fetch.java "${members[@]}" 2>/dev/null
	go run . "${members[@]}"
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
