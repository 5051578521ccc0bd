#!/usr/bin/env bash
# lighttpd makes a header field of a trailer, with a carriage return too many, and many clients refuse it.
#
# Software:  lighttpd 1.4.69 of Debian 12 as a reverse proxy (mod_proxy). As clients: curl 7.88.1, urllib of
#            Python 3.11, fetch of Node.js 20 (tried with 20.20.2), net/http of Go 1.26 (tried with 1.26.8),
#            java.net.http of Java 17 (tried with 17.0.15), and httpx 0.28.1, as published on PyPI.
# Behaviour: The host sends a chunked response with the trailer "Checksum: 1". lighttpd puts it among the
#            header fields, as "Checksum: 1", CR, CR, LF. fetch of Node.js, net/http and httpx refuse the
#            response: "Missing expected LF after header value", "malformed MIME header line", "illegal
#            header line". curl, Python and Java take it, and Java has no such field then. Without a
#            trailer, all are content.
# Surprise:  A proxy may drop a trailer. It "MUST NOT" make a header field of it, unless it knows that
#            the field may be merged (RFC 9110 section 6.5.1). Who tests with curl sees nothing wrong. The
#            callers' errors speak of the protocol, and the host sent a good response.
# Needs:     bash, curl, Go, Java 17, Node.js 20 or newer, Python 3; Debian 12's apt-get with a list of packages.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
processes=()
stop() {
	for process in "${processes[@]}"; do
		kill "$process" 2>/dev/null || true
		wait "$process" 2>/dev/null || true
	done
	rm -rf "$dir"
}
trap stop EXIT
cd "$dir"
apt-get -qq download lighttpd=1.4.69-1 libxxhash0=0.8.1-1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check httpx==0.28.1 httpcore==1.0.9 h11==0.16.0

cat >host.py <<'PY'
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Host(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        announced, trailer = (b"Trailer: Checksum\r\n", b"Checksum: 1\r\n") if self.path == "/trailer" else (b"", b"")
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + announced)
        self.wfile.write(b"\r\n8\r\ndocument\r\n0\r\n" + trailer + b"\r\n")


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Host).serve_forever()
PY
cat >urllib.client.py <<'PY'
import sys
from urllib.request import urlopen

with urlopen(sys.argv[1]) as response:
    print(response.status, response.read().decode(), response.headers["Checksum"])
PY
cat >httpx.client.py <<'PY'
import sys

import httpx

try:
    response = httpx.get(sys.argv[1], trust_env=False)
    print(response.status_code, response.text, response.headers.get("Checksum"))
except httpx.HTTPError as error:
    print(error)
PY
cat >fetch.mjs <<'JS'
try {
  const response = await fetch(process.argv[2]);
  console.log(response.status, await response.text(), response.headers.get('Checksum'));
} catch (error) {
  console.log(error.cause.message);
}
JS
cat >go.mod <<'MOD'
module finding

go 1.26.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	res, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := io.ReadAll(res.Body)
	fmt.Printf("%d %s %v %v\n", res.StatusCode, body, res.Header["Checksum"], err)
}
GO
go build -o go.client main.go
cat >Client.java <<'JAVA'
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Client {
	public static void main(String[] args) throws Exception {
		var request = HttpRequest.newBuilder(URI.create(args[0])).version(HttpClient.Version.HTTP_1_1).build();
		var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
		System.out.println(response.statusCode() + " " + response.body() + " " + response.headers().firstValue("Checksum"));
	}
}
JAVA
port=$((61001 + RANDOM % 1300 * 3)) # above the ports of outgoing connections
python3 host.py "$port" 2>host.log &
processes+=($!)
cat >lighttpd.conf <<CONF
server.port = $((port + 1))
server.bind = "127.0.0.1"
server.document-root = "$dir"
server.modules = ("mod_proxy")
proxy.server = ("/" => (("host" => "127.0.0.1", "port" => $port)))
CONF
LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu usr/sbin/lighttpd -D -f lighttpd.conf -m "$dir/usr/lib/lighttpd" 2>lighttpd.log &
processes+=($!)
for ((i = 0; ; i++)); do
	! curl -fs -o /dev/null "http://127.0.0.1:$((port + 1))/whole" || break
	((i < 100)) || { cat ./*.log; exit 1; }
	sleep 0.2
done
got=$(
	for path in whole trailer; do
		url=http://127.0.0.1:$((port + 1))/$path
		echo "$path:"
		curl -sS -i "$url" | grep -i -a checksum | od -An -c | tr -s ' ' || true
		echo "  curl: $(curl -sS -w ' %{http_code}' "$url")"
		echo "  urllib: $(python3 urllib.client.py "$url")"
		echo "  Java: $(java -XX:TieredStopAtLevel=1 Client.java "$url")"
		echo "  fetch: $(node fetch.mjs "$url")"
		echo "  Go: $(./go.client "$url" | sed 's/^Get "[^"]*": //')"
		echo "  httpx: $(venv/bin/python httpx.client.py "$url")"
	done
)
want='whole:
  curl: document 200
  urllib: 200 document None
  Java: 200 document Optional.empty
  fetch: 200 document null
  Go: 200 document [] <nil>
  httpx: 200 document None
trailer:
 C h e c k s u m : 1 \r \r \n
  curl: document 200
  urllib: 200 document 1
  Java: 200 document Optional.empty
  fetch: Response does not match the HTTP/1.1 protocol (Missing expected LF after header value)
  Go: net/http: HTTP/1.x transport connection broken: malformed MIME header line: "Checksum: 1\r"
  httpx: illegal header line: bytearray(b'"'Checksum: 1\\r'"')'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
