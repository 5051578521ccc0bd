#!/usr/bin/env bash
# curl sends a POST or DELETE again if a connection that it has kept ends without a response.
#
# Software:  curl 7.88.1 with its libcurl (Debian 12), over HTTP/1.1.
# Behaviour: The first request of a connection gets its response. The second is a POST. The server reads
#            the whole of it, and closes the connection. curl sends it again, on a new connection, and
#            reports that one's response, with the exit status 0. Without an earlier request on the
#            connection, it reports "Empty reply from server". No --retry is given.
# Surprise:  A connection that ended while it was idle is a good guess, and RFC 9110 section 9.2.2 allows
#            the guess for idempotent methods. curl makes it for POST, and when the server has read the
#            request. The caller cannot see that there were two requests: what a POST makes is made
#            twice, and "curl --fail" in a script is content.
# Needs:     bash, curl, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >server.py <<'PY'
# The first POST or DELETE gets no response. All other requests get one.
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = 0


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def change(self):
        global seen
        seen += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(f"server: {self.command}, number {seen}, body {body.decode()!r}", file=sys.stderr, flush=True)
        if seen == 1:
            self.close_connection = True
            return
        self.do_GET()

    do_POST = do_DELETE = change

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
print(server.server_port, flush=True)
server.serve_forever()
PY
# run starts a server, and runs curl with a request of the given kind, after a GET or not.
run() {
	local name=$1 before=$2 status=0
	shift 2
	rm -f port
	python3 server.py >port 2>log &
	server=$!
	until [[ -s port ]]; do sleep 0.1; done
	local url first=()
	url=http://127.0.0.1:$(<port)/
	[[ $before == kept ]] && first=(-s "$url" --next)
	curl "${first[@]}" -s -w '%{http_code}\n' "$@" "$url" >code || status=$?
	kill "$server"
	cat log
	echo "$name: status $(<code), exit status of curl $status"
}
got=$(
	run "POST on a new connection" new -d body
	run "POST on a kept connection" kept -d body
	run "DELETE on a kept connection" kept -X DELETE
)
want="server: POST, number 1, body 'body'
POST on a new connection: status 000, exit status of curl 52
server: POST, number 1, body 'body'
server: POST, number 2, body 'body'
POST on a kept connection: status 200, exit status of curl 0
server: DELETE, number 1, body ''
server: DELETE, number 2, body ''
DELETE on a kept connection: status 200, exit status of curl 0"
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
