#!/usr/bin/env bash
# Varnish neither drops a trailer nor passes it on: it fails, and so it does for an interim response.
#
# Software:  Varnish 7.1.1 and HAProxy 2.6.12 in front of a host, and curl 7.88.1, all of Debian 12.
# Behaviour: The host sends a chunked response with a trailer. Varnish passes on the whole body, and then
#            ends the connection instead of the body: for curl, the transfer has failed (18). Of an upload
#            with a trailer the host gets the whole body, and answers 200. The caller gets 503, "Backend
#            fetch failed". A response after "103 Early Hints" becomes 503 too. HAProxy passes all of it
#            on, the trailers and the 103 too.
# Surprise:  A proxy may drop trailers (RFC 9110 section 6.5.1), and nginx does. It must pass on interim
#            responses (section 15.2). So one expects to lose the checksum at the end, and not the
#            document before it. The upload looks as if it had failed, but the host has carried it out, and
#            who tries again does it twice.
# Needs:     bash, a C compiler, curl, Python 3; of Debian 12 haproxy, libjemalloc2 and apt-get with a list of
#            packages.
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
apt-get -qq download varnish=7.1.1-2+deb12u1 libvarnishapi3=7.1.1-2+deb12u1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done
export LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu:$dir/usr/lib/x86_64-linux-gnu/varnish

cat >host.py <<'PY'
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Host(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/hint":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style>; rel=preload\r\n\r\n")
        if self.path in ("/whole", "/hint"):
            self.answer()
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
        if self.path == "/trailer":
            self.wfile.write(b"Trailer: Checksum\r\n")
        self.wfile.write(b"\r\n8\r\ndocument\r\n")
        time.sleep(0.5)
        self.wfile.write(b"0\r\nChecksum: 1\r\n\r\n" if self.path == "/trailer" else b"0\r\n\r\n")

    def do_POST(self):
        body, trailer = b"", []
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while line := self.rfile.readline():
            trailer.append(line.strip().decode())
            if not trailer[-1]:
                break
        else:
            trailer.append("(cut off)")
        print("  host:", ", ".join(filter(None, [body.decode(), *trailer])), flush=True)
        self.answer()

    def answer(self):
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"document")

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Host).serve_forever()
PY
cat >upload.py <<'PY'
import socket
import sys

request = "POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
trailer = sys.argv[2:]
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    announced = "Trailer: Checksum\r\n" if trailer else ""
    connection.sendall(f"{request}{announced}\r\n5\r\norder\r\n0\r\n{''.join(trailer)}\r\n".encode())
    print("  caller:", connection.makefile().readline().strip())
PY
port=$((61001 + RANDOM % 1300 * 3)) # above the ports of outgoing connections
python3 host.py "$port" >>host.log 2>/dev/null &
processes+=($!)
cat >haproxy.cfg <<CFG
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen proxy
  bind 127.0.0.1:$((port + 1))
  server host 127.0.0.1:$port
CFG
haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
processes+=($!)
cat >proxy.vcl <<VCL
vcl 4.1;
backend host { .host = "127.0.0.1"; .port = "$port"; }
VCL
mkdir work
usr/sbin/varnishd -F -j none -n "$dir/work" -s malloc,10m -f "$dir/proxy.vcl" -a 127.0.0.1:$((port + 2)) >varnish.log 2>&1 &
processes+=($!)
for number in 0 1 2; do
	for ((i = 0; ; i++)); do
		! curl -fs -o /dev/null "http://127.0.0.1:$((port + number))/whole" || break
		((i < 150)) || { cat ./*.log; exit 1; }
		sleep 0.2
	done
done
# get NAME PORT PATH
get() {
	local result trailer=without
	result=$(curl -sS -m 20 --trace-ascii trace -o body -w '%{http_code} %{size_download}' "http://127.0.0.1:$2/$3" 2>/dev/null) && result+=", exit status 0" || result+=", exit status $?"
	result=${result/#503*,/503,} # its size is another one each time
	! grep -iq 'checksum: 1' trace || trailer=with
	echo "$1, $3: $result, $trailer the trailer, $(grep -c 'HTTP/1.1 103' trace || true) interim responses"
}
# upload NAME PORT [TRAILER]
upload() {
	: >host.log
	echo "$1, upload ${3-}" | sed 's/ *\(\\r\\n\)*$//'
	python3 upload.py "$2" ${3+"$3"$'\r\n'}
	sed 's/[Cc]hecksum/Checksum/' host.log
}
got=$(
	for proxy in HAProxy Varnish; do
		number=$((port + 1))
		[[ $proxy == HAProxy ]] || number=$((port + 2))
		for path in chunked trailer hint; do get $proxy "$number" $path; done
		upload $proxy "$number"
		upload $proxy "$number" "Checksum: 1"
	done
)
want='HAProxy, chunked: 200 8, exit status 0, without the trailer, 0 interim responses
HAProxy, trailer: 200 8, exit status 0, with the trailer, 0 interim responses
HAProxy, hint: 200 8, exit status 0, without the trailer, 1 interim responses
HAProxy, upload
  caller: HTTP/1.1 200 OK
  host: order
HAProxy, upload Checksum: 1
  caller: HTTP/1.1 200 OK
  host: order, Checksum: 1
Varnish, chunked: 200 8, exit status 0, without the trailer, 0 interim responses
Varnish, trailer: 200 8, exit status 18, without the trailer, 0 interim responses
Varnish, hint: 503, exit status 0, without the trailer, 0 interim responses
Varnish, upload
  caller: HTTP/1.1 200 OK
  host: order
Varnish, upload Checksum: 1
  caller: HTTP/1.1 503 Backend fetch failed
  host: order'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
