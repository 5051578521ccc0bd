#!/usr/bin/env bash
# wget sends a DELETE again, with a Range, if the transfer of its response breaks off.
#
# Software:  wget 1.21.3 (Debian 12).
# Behaviour: "wget --method=DELETE" gets half of the body, and the connection ends. wget sends the DELETE
#            again, with "Range: bytes=5-", 20 times at most. A POST (--post-data) is repeated in the same
#            way. If the second one is answered with 404, the exit status is 8, "server issued an error
#            response", and half of the body is in the file.
# Surprise:  wget is known to try a download again. That it does so with a DELETE and a POST, which change
#            something, is not what one expects: RFC 9110 section 9.2.2 is against it for POST, and Range
#            has no meaning but for GET (section 14.2). The error is that of the second request, so what
#            the first one did is not seen.
# Needs:     bash, Python 3, wget.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >server.py <<'PY'
# The first request of a path gets half of what it is promised, and the second one 404.
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = set()


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(f"server: {self.command}, Range {self.headers.get('Range')}", file=sys.stderr, flush=True)
        if self.path in seen:
            self.send_error(404)
            return
        seen.add(self.path)
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"first")

    do_DELETE = do_POST = answer

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 server.py >port 2>>log &
server=$!
until [[ -s port ]]; do sleep 0.1; done
for options in --method=DELETE --post-data=body; do
	status=0
	wget -q "$options" -O "body$options" "http://127.0.0.1:$(<port)/$options" || status=$?
	echo "wget $options: exit status $status, body $(<"body$options")" >>log
done
want='server: DELETE, Range None
server: DELETE, Range bytes=5-
wget --method=DELETE: exit status 8, body first
server: POST, Range None
server: POST, Range bytes=5-
wget --post-data=body: exit status 8, body first'
got=$(<log)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
