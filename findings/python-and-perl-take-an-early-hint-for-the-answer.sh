#!/usr/bin/env bash
# Clients of Python and Perl take "103 Early Hints" for the answer, and the answer for that of the next call.
#
# Software:  http.client of Python 3.11 (tried with 3.11.7), requests 2.34.2 with urllib3 2.8.0, as published
#            on PyPI, and LWP::UserAgent 6.68 with Net::HTTP 6.22 of Debian 12. For comparison: httpx 0.28.1, as
#            published on PyPI, curl 7.88.1 and Net::HTTP of Ruby 3.1, both of Debian 12.
# Behaviour: A host answers with 103, and half a second later with 200 and the document. http.client, requests
#            and LWP return the status 103 and no document. raise_for_status of requests raises nothing. If
#            the client keeps the connection, its next call gets this document, with the status 200,
#            whatever it asks for. httpx, curl and Ruby return the document that was asked for.
# Surprise:  "A client MUST be able to parse one or more 1xx responses received prior to a final response,
#            even if the client does not expect one" (RFC 9110 section 15.2). The three know 100, and pass
#            over it. A host or a proxy that learns to send 103 breaks callers that have worked for years,
#            and they do not notice.
# Needs:     bash, curl, Python 3; Debian 12's libwww-perl and ruby.
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
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 httpx==0.28.1 httpcore==1.0.9 h11==0.16.0
cat >host.py <<'PY'
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Host(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, interim, document = self.path.split("/")
        if interim != "none":
            self.wfile.write(f"HTTP/1.1 {interim} Interim\r\n\r\n".encode())
            time.sleep(0.5)
        self.send_response(200)
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document.encode())

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
print(f"127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
PY
cat >client.py <<'PY'
import http.client
import sys

import httpx
import requests

host, *paths = sys.argv[1:]
connection = http.client.HTTPConnection(host)
with requests.Session() as session, httpx.Client(trust_env=False) as client:
    session.trust_env = False
    for path in paths:
        connection.request("GET", path)
        response = connection.getresponse()
        print(f"http.client, {path}:", response.status, response.read().decode())
    for path in paths:
        response = session.get(f"http://{host}{path}")
        response.raise_for_status()
        print(f"requests, {path}:", response.status_code, response.text)
    for path in paths:
        response = client.get(f"http://{host}{path}")
        print(f"httpx, {path}:", response.status_code, response.text)
PY
cat >client.pl <<'PERL'
use strict;
use warnings;
use LWP::UserAgent;

my ($host, @paths) = @ARGV;
my $agent = LWP::UserAgent->new(keep_alive => 1);
for my $path (@paths) {
    my $response = $agent->get("http://$host$path");
    print "LWP, $path: ", $response->code, ' ', $response->content, "\n";
}
PERL
cat >client.rb <<'RUBY'
require 'net/http'

host, *paths = ARGV
address, port = host.split(':')
Net::HTTP.start(address, port.to_i) do |http|
  paths.each do |path|
    response = http.get(path)
    puts "Ruby, #{path}: #{response.code} #{response.body}"
  end
end
RUBY
python3 host.py >log 2>/dev/null &
server=$!
for ((i = 0; ; i++)); do
	host=$(grep -s . log) && break
	((i < 100)) || exit 1
	sleep 0.2
done
paths=(/100/first /103/second /none/third)
clients() {
	venv/bin/python client.py "$host" "${paths[@]}"
	perl client.pl "$host" "${paths[@]}"
	ruby client.rb "$host" "${paths[@]}"
	for path in "${paths[@]}"; do echo "curl, $path: $(curl -sS -o body -w '%{http_code}' "$host$path") $(<body)"; done
}
got=$(clients | sed 's/ *$//')
want='http.client, /100/first: 200 first
http.client, /103/second: 103
http.client, /none/third: 200 second
requests, /100/first: 200 first
requests, /103/second: 103
requests, /none/third: 200 second
httpx, /100/first: 200 first
httpx, /103/second: 200 second
httpx, /none/third: 200 third
LWP, /100/first: 200 first
LWP, /103/second: 103
LWP, /none/third: 200 second
Ruby, /100/first: 200 first
Ruby, /103/second: 200 second
Ruby, /none/third: 200 third
curl, /100/first: 200 first
curl, /103/second: 200 second
curl, /none/third: 200 third'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
