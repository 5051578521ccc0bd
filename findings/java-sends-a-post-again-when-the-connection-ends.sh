#!/usr/bin/env bash
# Java's HttpURLConnection sends a POST or DELETE again if the first one gets no response.
#
# Software:  java.net.HttpURLConnection of Java 17 (tried with OpenJDK 17.0.15), and java.net.http, which
#            does not do it.
# Behaviour: The server reads the whole request and closes the connection without a response, as it does
#            if it is killed while it works. HttpURLConnection sends the request once more, on a new
#            connection, and returns what that one gets. It does so on the first connection too, and not
#            only on one that it has kept. -Dsun.net.http.retryPost=false ends it for POST, and not for
#            DELETE.
# Surprise:  By RFC 9110 section 9.2.2 a client should not repeat a POST unless it knows that the first
#            was not applied, and here the server has read all of it. What is made is made twice. What can
#            be fetched and deleted by one DELETE only is gone at the second, and the caller sees that
#            one's answer.
# Needs:     bash, Java 17, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >server.py <<'PY'
# The first request of a name gets no response, and the next ones get the status 404.
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = set()


class Server(BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path not in seen:
            seen.add(self.path)
            return
        self.send_response(404)
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
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Send {
	interface Call {
		int status() throws Exception;
	}

	static String send(Call call) throws Exception {
		try {
			return "status of the second request, " + call.status();
		} catch (IOException e) {
			return "an exception";
		}
	}

	public static void main(String[] args) throws Exception {
		for (String method : new String[] {"POST", "DELETE"}) {
			System.out.println(args[1] + method + ", HttpURLConnection: " + send(() -> {
				var url = URI.create(args[0] + args[1] + method + "1").toURL();
				var connection = (HttpURLConnection) url.openConnection();
				connection.setRequestMethod(method);
				if (method.equals("POST")) {
					connection.setDoOutput(true);
					connection.getOutputStream().write("body".getBytes());
				}
				return connection.getResponseCode();
			}));
			System.out.println(args[1] + method + ", java.net.http: " + send(() -> {
				var body = method.equals("POST") ? HttpRequest.BodyPublishers.ofString("body") : HttpRequest.BodyPublishers.noBody();
				var request = HttpRequest.newBuilder(URI.create(args[0] + args[1] + method + "2")).method(method, body).build();
				return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
			}));
		}
	}
}
JAVA
python3 server.py >port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
got=$(
	java -XX:TieredStopAtLevel=1 Send.java "http://127.0.0.1:$(<port)" /default/
	java -XX:TieredStopAtLevel=1 -Dsun.net.http.retryPost=false Send.java "http://127.0.0.1:$(<port)" /retryPost=false/
)
want='/default/POST, HttpURLConnection: status of the second request, 404
/default/POST, java.net.http: an exception
/default/DELETE, HttpURLConnection: status of the second request, 404
/default/DELETE, java.net.http: an exception
/retryPost=false/POST, HttpURLConnection: an exception
/retryPost=false/POST, java.net.http: an exception
/retryPost=false/DELETE, HttpURLConnection: status of the second request, 404
/retryPost=false/DELETE, java.net.http: an exception'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
