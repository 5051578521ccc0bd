#!/usr/bin/env bash
# oauth4webapi hides the error code of a token endpoint that keeps to the standard.
#
# Software:  oauth4webapi 3.8.8, which openid-client 6.9.0 is made of, both as published on npm.
# Behaviour: A token endpoint refuses a client that authenticates by Basic: 401,
#            {"error":"invalid_client"} and "WWW-Authenticate: Basic", as RFC 6749 section 5.2 demands
#            ("MUST"). The error that is thrown has no "error": its code is
#            OAUTH_WWW_AUTHENTICATE_CHALLENGE, and the body has not been read. The same response
#            without the header, which breaks the standard, gives "invalid_client".
# Surprise:  What a program does about "invalid_client", such as to read a secret anew, works with
#            servers that break the standard, and never runs with those that keep it.
# Needs:     bash, Node.js 20 or newer, npm.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund oauth4webapi@3.8.8 openid-client@6.9.0 </dev/null >/dev/null
cat >main.mjs <<'JS'
import { createServer } from 'node:http';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';

let challenge;
const server = createServer((req, res) => {
  const headers = { 'Content-Type': 'application/json' };
  if (challenge) headers['WWW-Authenticate'] = challenge;
  res.writeHead(401, headers).end('{"error":"invalid_client","error_description":"the secret has expired"}');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const as = { issuer, token_endpoint: `${issuer}/token` };
const show = (name, error) =>
  console.log(`${name}, ${challenge ? 'with' : 'without'} WWW-Authenticate: ${error.name}, code ${error.code}, error ${error.error}, description ${error.error_description}`);

for (challenge of ['Basic realm="token"', undefined]) {
  const response = await oauth.clientCredentialsGrantRequest(as, { client_id: 'client' }, oauth.ClientSecretBasic('secret'), {}, { [oauth.allowInsecureRequests]: true });
  await oauth.processClientCredentialsResponse(as, { client_id: 'client' }, response).catch((error) => show('oauth4webapi', error));
  const config = new client.Configuration(as, 'client', {}, client.ClientSecretBasic('secret'));
  client.allowInsecureRequests(config);
  await client.clientCredentialsGrant(config).catch((error) => show('openid-client', error));
}
server.close();
JS
want='oauth4webapi, with WWW-Authenticate: WWWAuthenticateChallengeError, code OAUTH_WWW_AUTHENTICATE_CHALLENGE, error undefined, description undefined
openid-client, with WWW-Authenticate: WWWAuthenticateChallengeError, code OAUTH_WWW_AUTHENTICATE_CHALLENGE, error undefined, description undefined
oauth4webapi, without WWW-Authenticate: ResponseBodyError, code OAUTH_RESPONSE_BODY_ERROR, error invalid_client, description the secret has expired
openid-client, without WWW-Authenticate: ResponseBodyError, code OAUTH_RESPONSE_BODY_ERROR, error invalid_client, description the secret has expired'
got=$(node main.mjs)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
