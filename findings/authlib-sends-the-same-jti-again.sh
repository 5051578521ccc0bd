#!/usr/bin/env bash
# Authlib gives all client assertions the same jti if the caller adds a claim.
#
# Software:  Authlib 1.9.10 with joserfc 1.8.0, as published on PyPI.
# Behaviour: PrivateKeyJWT makes a jti for every assertion, as long as it is given no claims. With
#            claims={...}, even with {}, it stores the first jti in that dictionary, finds it there
#            the next time, and sends it again. Also, alg="ES256" with a PEM fails: it takes the key
#            for an RSA key ("Not a key of: 'RSA'") unless it is an ECKey of joserfc.
# Surprise:  The first token request works, and so do all in a test. The next one, when the token has
#            expired, is refused by each server that remembers jti values (RFC 7523 section 3, point
#            7), as Keycloak does. After a restart of the program, it works again, once.
# Needs:     bash, OpenSSL, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check Authlib==1.9.10 joserfc==1.8.0 requests==2.34.2
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem 2>/dev/null
cat >main.py <<'PY'
import json
from base64 import urlsafe_b64decode
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey

seen = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        claims = form["client_assertion"][0].split(".")[1]
        seen.append(json.loads(urlsafe_b64decode(claims + "=="))["jti"])
        body = b'{"access_token":"token","token_type":"Bearer","expires_in":300}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/token"
pem = Path("key.pem").read_text()


def fetch_three(name, key, **options):
    seen.clear()
    try:
        session = OAuth2Session("client", key, token_endpoint_auth_method=PrivateKeyJWT(url, alg="ES256", **options))
        for _ in range(3):
            session.fetch_token(url, grant_type="client_credentials")
        print(f"{name}: {len(seen)} requests, {len(set(seen))} jti")
    except Exception as error:
        print(f"{name}: {error}")


fetch_three("no claims", ECKey.import_key(pem))
fetch_three("claims={'nbf': 0}", ECKey.import_key(pem), claims={"nbf": 0})
fetch_three("claims={}", ECKey.import_key(pem), claims={})
fetch_three("PEM", pem)
PY
want="no claims: 3 requests, 3 jti
claims={'nbf': 0}: 3 requests, 1 jti
claims={}: 3 requests, 1 jti
PEM: invalid_key_type: Not a key of: 'RSA'"
got=$(venv/bin/python -W ignore main.py)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
