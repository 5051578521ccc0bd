#!/usr/bin/env bash
# httpx_auth and requests_auth fail with a ValueError, unless the token says when it ends.
#
# Software:  httpx_auth 0.23.1 with httpx 0.28.1, requests_auth 8.0.0 with requests 2.34.2, Authlib 1.9.10 and
#            requests-oauthlib 2.0.0 with oauthlib 4.0.1, all as published on PyPI.
# Behaviour: A token endpoint answers without "expires_in". httpx_auth and requests_auth then take the access token
#            for a JWT, and look for its "exp". For an opaque token, the request raises "ValueError: not enough
#            values to unpack (expected 3, got 1)". For a JWT without "exp", as RFC 7519 allows, it raises
#            TokenExpiryNotProvided. The other two use the token.
# Surprise:  "expires_in" is only recommended (RFC 6749 section 5.1), a token "is usually opaque to the client"
#            (section 1.4), and one that does not say when it ends can be used until it is refused. The error
#            names neither the token nor the member that is missing. It comes from the call of the API, after
#            a token request that has succeeded.
# Needs:     bash, Python 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip -q install --disable-pip-version-check httpx_auth==0.23.1 httpx==0.28.1 requests_auth==8.0.0 requests==2.34.2 \
	Authlib==1.9.10 requests-oauthlib==2.0.0 oauthlib==4.0.1
cat >main.py <<'PY'
import json
import os
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import httpx_auth
import requests
import requests_auth
from authlib.integrations.requests_client import OAuth2Session as Authlib
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
token = {}
counts = {"token": 0, "api": 0}
words = ["no", "one"]


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        counts["token"] += 1
        self.answer(json.dumps(token).encode())

    def do_GET(self):
        counts["api"] += self.headers["Authorization"] == "Bearer " + token["access_token"]
        self.answer(b"{}")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"


def use_httpx_auth():
    httpx_auth.OAuth2.token_cache.clear()
    httpx.get(url, auth=httpx_auth.OAuth2ClientCredentials(f"{url}/token", "client", "secret"))


def use_requests_auth():
    requests_auth.OAuth2.token_cache.clear()
    requests.get(url, auth=requests_auth.OAuth2ClientCredentials(f"{url}/token", "client", "secret"))


def use_authlib():
    session = Authlib("client", "secret")
    session.fetch_token(f"{url}/token", grant_type="client_credentials")
    session.get(url)


def use_requests_oauthlib():
    session = OAuth2Session(client=BackendApplicationClient("client"))
    session.fetch_token(f"{url}/token", client_id="client", client_secret="secret")
    session.get(url)


def part(value):
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


jwt = ".".join([part({"alg": "ES256"}), part({"iss": url}), "c2lnbmF0dXJl"])
for name, answer in (
    ("expires_in, opaque", {"access_token": "opaque", "expires_in": 300}),
    ("no expires_in, opaque", {"access_token": "opaque"}),
    ("no expires_in, JWT without exp", {"access_token": jwt}),
):
    token.clear()
    token.update(answer, token_type="Bearer")
    for client, use in (
        ("httpx_auth", use_httpx_auth), ("requests_auth", use_requests_auth),
        ("Authlib", use_authlib), ("requests-oauthlib", use_requests_oauthlib),
    ):
        counts.update(token=0, api=0)
        try:
            use()
            result = "used"
        except Exception as error:
            result = f"{type(error).__name__}: {str(error).partition(' in ')[0]}"
        print(f"{name}: {client}: {words[counts['token']]} token, {words[counts['api']]} call, {result}")
PY
want='expires_in, opaque: httpx_auth: one token, one call, used
expires_in, opaque: requests_auth: one token, one call, used
expires_in, opaque: Authlib: one token, one call, used
expires_in, opaque: requests-oauthlib: one token, one call, used
no expires_in, opaque: httpx_auth: one token, no call, ValueError: not enough values to unpack (expected 3, got 1)
no expires_in, opaque: requests_auth: one token, no call, ValueError: not enough values to unpack (expected 3, got 1)
no expires_in, opaque: Authlib: one token, one call, used
no expires_in, opaque: requests-oauthlib: one token, one call, used
no expires_in, JWT without exp: httpx_auth: one token, no call, TokenExpiryNotProvided: Expiry (exp) is not provided
no expires_in, JWT without exp: requests_auth: one token, no call, TokenExpiryNotProvided: Expiry (exp) is not provided
no expires_in, JWT without exp: Authlib: one token, one call, used
no expires_in, JWT without exp: requests-oauthlib: one token, one call, used'
got=$(venv/bin/python -W ignore main.py)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
