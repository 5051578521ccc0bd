#!/usr/bin/env bash
# EU DSS refuses the time-stamps of Sigstore's server, because they come with status 201.
#
# Software:  DSS 6.4 (dss-service), as published on Maven Central; Sigstore's timestamp-authority
#            v1.2.9, with its signer in memory.
# Behaviour: The status of the response to a good request is "201 Created". The response is good, too:
#            "openssl ts" verifies it. OnlineTSPSource of DSS takes 200 and nothing else: "Not acceptable
#            HTTP Status". It takes the response if the response handler of its TimestampDataLoader
#            is told to accept 201 too (setAcceptedHttpStatuses).
# Surprise:  RFC 3161 section 3.4 names the media types of request and response, and says nothing of the
#            status. Others measure themselves by these two, and they do not work together: a
#            signature of level T fails, with an error that does not name the time-stamp.
# Needs:     bash, curl, Go, Java 17, Maven, OpenSSL. (The server takes some minutes to compile.)
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
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>0</version>
  <dependencies>
    <dependency>
      <groupId>eu.europa.ec.joinup.sd-dss</groupId>
      <artifactId>dss-service</artifactId>
      <version>6.4</version>
    </dependency>
    <dependency>
      <groupId>eu.europa.ec.joinup.sd-dss</groupId>
      <artifactId>dss-utils-apache-commons</artifactId>
      <version>6.4</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
GOBIN=$dir go install github.com/sigstore/timestamp-authority/cmd/timestamp-server@v1.2.9 2>/dev/null
port=$((20000 + RANDOM % 10000))
./timestamp-server serve --host 127.0.0.1 --port $port --timestamp-signer memory --disable-ntp-monitoring </dev/null >log 2>&1 &
server=$!
url=http://127.0.0.1:$port/api/v1/timestamp
for ((i = 0; ; i++)); do
	! curl -fs -o chain.pem $url/certchain || break
	((i < 120)) || { cat log; exit 1; }
	sleep 0.5
done
cat >Stamp.java <<'JAVA'
import java.util.List;

import eu.europa.esig.dss.enumerations.DigestAlgorithm;
import eu.europa.esig.dss.service.http.commons.CommonsHttpClientResponseHandler;
import eu.europa.esig.dss.service.http.commons.TimestampDataLoader;
import eu.europa.esig.dss.service.tsp.OnlineTSPSource;
import eu.europa.esig.dss.spi.DSSUtils;

public class Stamp {
	public static void main(String[] args) {
		byte[] digest = DSSUtils.digest(DigestAlgorithm.SHA256, "document".getBytes());
		OnlineTSPSource source = new OnlineTSPSource(args[0]);
		for (boolean all : new boolean[] {false, true}) {
			if (all) {
				CommonsHttpClientResponseHandler handler = new CommonsHttpClientResponseHandler();
				handler.setAcceptedHttpStatuses(List.of(200, 201));
				TimestampDataLoader loader = new TimestampDataLoader();
				loader.setHttpClientResponseHandler(handler);
				source.setDataLoader(loader);
			}
			String result;
			try {
				result = source.getTimeStampResponse(DigestAlgorithm.SHA256, digest).getBytes().length > 0 ? "a time-stamp" : "nothing";
			} catch (Exception e) {
				result = e.getCause().getMessage();
			}
			System.out.println("DSS, " + (all ? "200 and 201 accepted" : "as it is") + ": " + result);
		}
	}
}
JAVA
printf document >document
openssl ts -query -data document -sha256 -cert -out request 2>/dev/null
tac chain.pem | sed "/BEGIN/q" | tac >root.pem # the last of the chain
want='status 201, application/timestamp-reply
OpenSSL: Verification: OK
DSS, as it is: Not acceptable HTTP Status (HTTP status code : 201 / reason : Created)
DSS, 200 and 201 accepted: a time-stamp'
got=$(
	curl -sS -o response -w 'status %{http_code}, %{content_type}\n' -H 'Content-Type: application/timestamp-query' --data-binary @request $url
	echo "OpenSSL: $(openssl ts -verify -queryfile request -in response -CAfile root.pem -untrusted chain.pem 2>&1 | grep Verification)"
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Stamp.java $url 2>/dev/null
)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
