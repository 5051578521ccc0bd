#!/usr/bin/env bash
# Two HTTP clients for Java send a POST again because of the status, and their callers see one request.
#
# Software:  Apache HttpClient 5.6.5 and OkHttp 5.5.1, as published on Maven Central, with their
#            defaults.
# Behaviour: HttpClient sends a POST again after 503 and 429, with or without Retry-After, which it waits
#            for. OkHttp sends it again after 408, and after 503 with "Retry-After: 0". Of a connection
#            that is closed without a response, HttpClient repeats the DELETE and not the POST, and
#            OkHttp neither.
# Surprise:  RFC 9110 section 9.2.2: a client "SHOULD NOT automatically retry a request with a
#            non-idempotent method". HttpClient looks at the method when the connection fails, and not
#            when there is a status. A host may answer 503 or 408 after it has done something. A sign
#            order is made twice, and a one-time token is spent by a request that nobody knows of.
# Needs:     bash, Java 17, Maven, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>0</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.httpcomponents.client5</groupId>
      <artifactId>httpclient5</artifactId>
      <version>5.6.5</version>
    </dependency>
    <dependency>
      <groupId>com.squareup.okhttp3</groupId>
      <artifactId>okhttp-jvm</artifactId>
      <version>5.5.1</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
cat >server.py <<'PY'
# The path says what the server answers: a status, and perhaps a Retry-After.
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with open("seen", "a") as seen:
            seen.write("request\n")
        _, status, retry_after = self.path.split("/")
        if status == "none":
            self.close_connection = True
            return
        self.send_response(int(status))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_DELETE = answer

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
print(server.server_port, flush=True)
server.serve_forever()
PY
cat >Send.java <<'JAVA'
import java.nio.file.Files;
import java.nio.file.Path;

import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.io.entity.StringEntity;
import org.apache.hc.core5.http.io.support.ClassicRequestBuilder;

public class Send {
	interface Call {
		int status() throws Exception;
	}

	static String send(Call call) throws Exception {
		Path seen = Path.of("seen");
		Files.deleteIfExists(seen);
		String result;
		try {
			result = String.valueOf(call.status());
		} catch (java.io.IOException e) {
			result = "an exception";
		}
		return Files.readAllLines(seen).size() + " requests, " + result;
	}

	public static void main(String[] args) throws Exception {
		for (String path : new String[] {"POST /503/", "POST /503/1", "POST /503/0", "POST /429/", "POST /408/", "POST /none/", "DELETE /none/"}) {
			String method = path.split(" ")[0], url = args[0] + path.split(" ")[1];
			String first = send(() -> {
				try (var client = HttpClients.createDefault()) {
					var request = ClassicRequestBuilder.create(method).setUri(url);
					if (method.equals("POST")) {
						request.setEntity(new StringEntity("body"));
					}
					return client.execute(request.build(), response -> response.getCode());
				}
			});
			String second = send(() -> {
				var body = method.equals("POST") ? RequestBody.create("body".getBytes()) : null;
				try (var response = new OkHttpClient().newCall(new Request.Builder().url(url).method(method, body).build()).execute()) {
					return response.code();
				}
			});
			System.out.println(path + ": HttpClient " + first + "; OkHttp " + second);
		}
		System.exit(0);
	}
}
JAVA
python3 server.py >port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
got=$(java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Send.java "http://127.0.0.1:$(<port)" 2>/dev/null)
want='POST /503/: HttpClient 2 requests, 503; OkHttp 1 requests, 503
POST /503/1: HttpClient 2 requests, 503; OkHttp 1 requests, 503
POST /503/0: HttpClient 2 requests, 503; OkHttp 2 requests, 503
POST /429/: HttpClient 2 requests, 429; OkHttp 1 requests, 429
POST /408/: HttpClient 1 requests, 408; OkHttp 2 requests, 408
POST /none/: HttpClient 1 requests, an exception; OkHttp 1 requests, an exception
DELETE /none/: HttpClient 2 requests, an exception; OkHttp 1 requests, an exception'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
