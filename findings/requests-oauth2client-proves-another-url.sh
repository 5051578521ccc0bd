#!/usr/bin/env bash
# requests_oauth2client makes DPoP proofs for another URL than that of the request.
#
# Software:  requests_oauth2client 1.8.0 (with furl 2.1.4, requests 2.34.2), as published on PyPI.
# Behaviour: For the proof's htu, the library takes query and fragment off the URL, by means of furl.
#            furl also decodes what is encoded in the path: %3A becomes ":", %2B becomes "+", and so on
#            for other reserved characters than "/". The request itself keeps them. The library's own
#            validate_dpop_proof refuses the proof for the URL that the server sees.
# Surprise:  By RFC 3986 section 2.2, URLs that differ in an encoded reserved character are not
#            equivalent, so a server refuses the proof as RFC 9449 section 4.3 says. All calls of an
#            API work, but not those for an identifier with a ":" that the caller encodes.
# Needs:     bash, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check requests_oauth2client==1.8.0 jwskate==0.12.2 furl==2.1.4 requests==2.34.2
cat >main.py <<'PY'
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import requests
from requests_oauth2client import DPoPKey, DPoPToken, InvalidDPoPProof, validate_dpop_proof

key = DPoPKey.generate()
token = DPoPToken(access_token="token", _dpop_key=key)


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        origin = f"http://{self.headers['Host']}"
        proof = self.headers["DPoP"].encode()
        try:
            claims = validate_dpop_proof(proof, htm="GET", htu=origin + self.path.partition("?")[0]).claims
            verdict = f"accepted, htu {claims['htu'].removeprefix(origin)}"
        except InvalidDPoPProof as refused:
            verdict = "refused, " + str(refused).replace(origin, "")
        print(f"{self.path}: {verdict}")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
Thread(target=server.serve_forever, daemon=True).start()

for path in "/orders/1", "/orders/1?page=2", "/orders/a%3Ab", "/orders/a%2Bb", "/orders/a%2Fb":
    requests.get(f"http://127.0.0.1:{server.server_port}{path}", auth=token)
PY
want="/orders/1: accepted, htu /orders/1
/orders/1?page=2: accepted, htu /orders/1
/orders/a%3Ab: refused, Invalid DPoP proof: HTTP URI (htu) '/orders/a:b' does not matches expected '/orders/a%3Ab'.
/orders/a%2Bb: refused, Invalid DPoP proof: HTTP URI (htu) '/orders/a+b' does not matches expected '/orders/a%2Bb'.
/orders/a%2Fb: accepted, htu /orders/a%2Fb"
got=$(venv/bin/python main.py)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
