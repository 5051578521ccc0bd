#!/usr/bin/env bash
# requests_oauth2client raises an error about a nonce when the API says that the token has expired.
#
# Software:  requests_oauth2client 1.8.0 (with requests 2.34.2), as published on PyPI; oauth4webapi 3.8.8, as
#            published on npm.
# Behaviour: An API refuses a token that is bound to a key, with 401 and 'WWW-Authenticate: DPoP
#            error="invalid_token"'. The call by requests_oauth2client does not return the 401. It raises
#            MissingDPoPNonce: "Server requested client to use a DPoP `nonce`". If the API sends a DPoP-Nonce
#            with each response, the request is sent twice, and from the second call on RepeatedDPoPNonce
#            is raised. Neither is an exception of requests. oauth4webapi reports "invalid_token".
# Surprise:  The server asks for a nonce by "use_dpop_nonce" alone (RFC 9449 section 9), and "invalid_token"
#            is what section 7.1 has for an expired token. With Bearer tokens, the same program gets the 401
#            and fetches a new token. Here it fails, or looks for a fault in its nonces.
# Needs:     bash, Node.js 20 or newer, npm, Python 3.
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
venv/bin/pip -q install --disable-pip-version-check requests_oauth2client==1.8.0 requests==2.34.2
npm install --silent --no-audit --no-fund oauth4webapi@3.8.8 </dev/null >/dev/null
cat >api.mjs <<'JS'
import { createServer } from 'node:http';

let requests = 0;
const server = createServer((request, response) => {
  if (request.url === '/requests') {
    response.end(`${requests}`);
    requests = 0;
    return;
  }
  requests++;
  const [scheme] = request.headers.authorization.split(' ');
  response.setHeader('WWW-Authenticate', `${scheme} error="invalid_token", error_description="The token has expired"`);
  if (request.url === '/with-nonce') response.setHeader('DPoP-Nonce', 'nonce');
  response.statusCode = 401;
  response.end();
}).listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
JS
cat >client.py <<'PY'
import sys

import requests
from requests_oauth2client import BearerToken, DPoPKey, DPoPToken

api = sys.argv[1]
for name, token in ("Bearer", BearerToken("token")), ("DPoP", DPoPToken("token", _dpop_key=DPoPKey.generate())):
    for path in "without-nonce", "with-nonce", "with-nonce":
        try:
            result = requests.get(f"{api}/{path}", auth=token).status_code
        except requests.RequestException:
            result = "an error of requests"
        except Exception as error:
            result = f"{type(error).__name__}: {error}".split(",")[0].replace("`", "")
        print(f"requests_oauth2client, {name}, {path}: {requests.get(f'{api}/requests').text} requests, {result}")
PY
cat >client.mjs <<'JS'
import * as oauth from 'oauth4webapi';

const DPoP = oauth.DPoP({ client_id: 'client' }, await oauth.generateKeyPair('ES256'));
for (const path of ['without-nonce', 'with-nonce', 'with-nonce']) {
  try {
    await oauth.protectedResourceRequest('token', 'GET', new URL(`${process.argv[2]}/${path}`), undefined, null, {
      DPoP, [oauth.allowInsecureRequests]: true,
    });
  } catch (error) {
    console.log(`oauth4webapi, DPoP, ${path}: ${error.status} ${error.cause[0].parameters.error}`);
  }
}
JS
node api.mjs >log &
server=$!
for ((i = 0; ; i++)); do
	api=$(grep -os '^http://.*' log) && break
	((i < 100)) || exit 1
	sleep 0.2
done
got=$(
	venv/bin/python -W ignore client.py "$api"
	node client.mjs "$api"
)
want='requests_oauth2client, Bearer, without-nonce: 1 requests, 401
requests_oauth2client, Bearer, with-nonce: 1 requests, 401
requests_oauth2client, Bearer, with-nonce: 1 requests, 401
requests_oauth2client, DPoP, without-nonce: 1 requests, MissingDPoPNonce: Server requested client to use a DPoP nonce
requests_oauth2client, DPoP, with-nonce: 2 requests, 401
requests_oauth2client, DPoP, with-nonce: 1 requests, RepeatedDPoPNonce: Server requested client to use a DPoP nonce
oauth4webapi, DPoP, without-nonce: 401 invalid_token
oauth4webapi, DPoP, with-nonce: 401 invalid_token
oauth4webapi, DPoP, with-nonce: 401 invalid_token'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
