#!/usr/bin/env bash
# Two DPoP clients do not see that a nonce is asked for, if the server names Bearer before DPoP.
#
# Software:  requests_oauth2client 1.8.0 (with requests 2.34.2), as published on PyPI; @atproto/oauth-client
#            0.6.1 with @atproto/jwk-jose 0.2.4, and oauth4webapi 3.8.8, all as published on npm.
# Behaviour: An API answers 401 with 'WWW-Authenticate: DPoP error="use_dpop_nonce"' and a DPoP-Nonce. All
#            three clients send the request again with the nonce. If the API names two schemes, and Bearer
#            is the first, requests_oauth2client and the fetch of @atproto/oauth-client return the 401. It
#            makes no difference whether the schemes stand in one field or in two. They look at how the
#            text begins. oauth4webapi finds the challenge in each case.
# Surprise:  A field may have several challenges, in any order, and several fields are the same as one
#            (RFC 9110 sections 5.3 and 11.6.1). RFC 9449 section 7.2 is about APIs that take both kinds of
#            token, and its examples name Bearer first. Token and key are good, and the client never gets
#            past the 401.
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
npm install --silent --no-audit --no-fund @atproto/oauth-client@0.6.1 @atproto/jwk-jose@0.2.4 oauth4webapi@3.8.8 </dev/null >/dev/null
cat >api.mjs <<'JS'
import { createServer } from 'node:http';

const dpop = 'DPoP error="use_dpop_nonce", algs="ES256"';
const challenges = {
  '/DPoP': [dpop],
  '/DPoP-and-Bearer': [dpop, 'Bearer'],
  '/Bearer-and-DPoP': ['Bearer', dpop],
  '/Bearer-and-DPoP-in-one-field': [`Bearer, ${dpop}`],
};
const server = createServer((request, response) => {
  const { nonce } = JSON.parse(Buffer.from(request.headers.dpop.split('.')[1], 'base64url'));
  if (nonce !== 'nonce') {
    response.setHeader('WWW-Authenticate', challenges[request.url]);
    response.setHeader('DPoP-Nonce', 'nonce');
    response.statusCode = 401;
  }
  response.end();
}).listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
JS
cat >client.py <<'PY'
import sys

import requests
from requests_oauth2client import DPoPKey, DPoPToken

for url in sys.argv[1:]:
    token = DPoPToken(access_token="token", _dpop_key=DPoPKey.generate())
    print(f"requests_oauth2client, {url.rpartition('/')[2]}: {requests.get(url, auth=token).status_code}")
PY
cat >client.mjs <<'JS'
import { JoseKey } from '@atproto/jwk-jose';
import * as oauth from 'oauth4webapi';
import atproto from './node_modules/@atproto/oauth-client/dist/fetch-dpop.js'; // what its sessions fetch with

const urls = process.argv.slice(2);
const name = (url) => url.split('/').pop();
for (const url of urls) {
  const key = await JoseKey.generate(['ES256']);
  const nonces = new Map();
  const dpopFetch = atproto.dpopFetchWrapper({ key, nonces, supportedAlgs: ['ES256'], isAuthServer: false });
  const { status } = await dpopFetch(url, { headers: { Authorization: 'DPoP token' } });
  console.log(`@atproto/oauth-client, ${name(url)}: ${status}`);
}
for (const url of urls) {
  const DPoP = oauth.DPoP({ client_id: 'client' }, await oauth.generateKeyPair('ES256'));
  const request = () => oauth.protectedResourceRequest('token', 'GET', new URL(url), undefined, null, {
    DPoP, [oauth.allowInsecureRequests]: true,
  });
  const { status } = await request().catch((error) => {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return request();
  });
  console.log(`oauth4webapi, ${name(url)}: ${status}`);
}
JS
node api.mjs >log &
server=$!
for ((i = 0; ; i++)); do
	api=$(grep -os '^http://.*' log) && break
	((i < 100)) || exit 1
	sleep 0.2
done
urls=("$api"/{DPoP,DPoP-and-Bearer,Bearer-and-DPoP,Bearer-and-DPoP-in-one-field})
got=$(
	venv/bin/python -W ignore client.py "${urls[@]}"
	node client.mjs "${urls[@]}"
)
want='requests_oauth2client, DPoP: 200
requests_oauth2client, DPoP-and-Bearer: 200
requests_oauth2client, Bearer-and-DPoP: 401
requests_oauth2client, Bearer-and-DPoP-in-one-field: 401
@atproto/oauth-client, DPoP: 200
@atproto/oauth-client, DPoP-and-Bearer: 200
@atproto/oauth-client, Bearer-and-DPoP: 401
@atproto/oauth-client, Bearer-and-DPoP-in-one-field: 401
oauth4webapi, DPoP: 200
oauth4webapi, DPoP-and-Bearer: 200
oauth4webapi, Bearer-and-DPoP: 200
oauth4webapi, Bearer-and-DPoP-in-one-field: 200'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
