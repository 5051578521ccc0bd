#!/usr/bin/env bash
# MCP's clients for machines find no server that is for machines alone.
#
# Software:  mcp 2.3.0 (with pydantic 2.14.4), as published on PyPI; @modelcontextprotocol/sdk 1.32.2 and
#            oauth4webapi 3.8.8, both as published on npm.
# Behaviour: An authorization server offers client_credentials and private_key_jwt, and no grant in which a
#            person logs in. So its metadata has no authorization_endpoint. PrivateKeyJWTOAuthProvider of
#            Python fetches the metadata, and says "No authorization server metadata discovered".
#            PrivateKeyJwtProvider of TypeScript fails with a ZodError. No token is asked for. With any
#            address as authorization_endpoint, both get a token, and never use the address. oauth4webapi
#            gets one in both cases.
# Surprise:  authorization_endpoint is required "unless no grant types are supported that use the
#            authorization endpoint" (RFC 8414 section 2). Both classes exist for client_credentials, which
#            does not use it.
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
venv/bin/pip -q install --disable-pip-version-check mcp==2.3.0 pydantic==2.14.4 httpx2==2.16.2
npm install --silent --no-audit --no-fund @modelcontextprotocol/sdk@1.32.2 oauth4webapi@3.8.8 </dev/null >/dev/null
cat >server.mjs <<'JS'
// The server is its own API, at /mcp. Below /people, its metadata has an authorization_endpoint.
import { createServer } from 'node:http';

let tokens = 0;
const server = createServer((request, response) => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  const people = request.url.includes('people');
  const issuer = people ? `${origin}/people` : `${origin}/machines`;
  const api = `${issuer}/mcp`;
  const send = (body) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(body));
  };
  if (request.url === '/tokens') {
    send(tokens);
    tokens = 0;
  } else if (request.url.startsWith('/.well-known/oauth-protected-resource')) {
    send({ resource: api, authorization_servers: [issuer] });
  } else if (request.url.startsWith('/.well-known/oauth-authorization-server')) {
    send({
      issuer,
      token_endpoint: `${issuer}/token`,
      ...(people ? { authorization_endpoint: `${issuer}/nowhere` } : {}),
      response_types_supported: [],
      grant_types_supported: ['client_credentials'],
      token_endpoint_auth_methods_supported: ['private_key_jwt'],
      token_endpoint_auth_signing_alg_values_supported: ['ES256'],
    });
  } else if (request.url.endsWith('/token')) {
    tokens++;
    request.resume();
    send({ access_token: 'token', token_type: 'Bearer', expires_in: 300 });
  } else if (request.headers.authorization === 'Bearer token') {
    send({});
  } else {
    response.statusCode = request.url.endsWith('/mcp') ? 401 : 404;
    const metadata = api.replace(origin, `${origin}/.well-known/oauth-protected-resource`);
    response.setHeader('WWW-Authenticate', `Bearer resource_metadata="${metadata}"`);
    send({});
  }
}).listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
JS
cat >client.py <<'PY'
import asyncio
import logging
import sys

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mcp.client.auth.exceptions import OAuthFlowError
from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider, SignedJWTParameters

logging.disable()
key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class Storage:
    tokens = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return None

    async def set_client_info(self, client_info):
        pass


async def call(issuer):
    parameters = SignedJWTParameters(issuer="client", subject="client", signing_key=key, signing_algorithm="ES256")
    provider = PrivateKeyJWTOAuthProvider(
        server_url=f"{issuer}/mcp", storage=Storage(), client_id="client", issuer=issuer,
        assertion_provider=parameters.create_assertion_provider(),
    )
    async with httpx2.AsyncClient(auth=provider, trust_env=False) as client:
        try:
            return (await client.post(f"{issuer}/mcp", json={})).status_code
        except OAuthFlowError as error:
            return f"{error}".replace(issuer.rpartition("/")[0], "")


print(asyncio.run(call(sys.argv[1])))
PY
cat >client.mjs <<'JS'
import { generateKeyPairSync } from 'node:crypto';

import { auth } from '@modelcontextprotocol/sdk/client/auth.js';
import { PrivateKeyJwtProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';

const privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
const [issuer] = process.argv.slice(2);
const provider = new PrivateKeyJwtProvider({ clientId: 'client', privateKey, algorithm: 'ES256', expectedIssuer: issuer });
console.log(await auth(provider, { serverUrl: `${issuer}/mcp` }).catch((error) => {
  return `${error.constructor.name}: ${error.issues[0].path}: ${error.issues[0].message}`;
}));
JS
cat >other.mjs <<'JS'
import * as oauth from 'oauth4webapi';

const issuer = new URL(process.argv[2]);
const insecure = { [oauth.allowInsecureRequests]: true };
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...insecure, algorithm: 'oauth2' }));
const { privateKey } = await oauth.generateKeyPair('ES256');
const client = { client_id: 'client' };
const response = await oauth.clientCredentialsGrantRequest(as, client, oauth.PrivateKeyJwt(privateKey), {}, insecure);
console.log((await oauth.processClientCredentialsResponse(as, client, response)).access_token);
JS
node server.mjs >log &
server=$!
for ((i = 0; ; i++)); do
	origin=$(grep -os '^http://.*' log) && break
	((i < 100)) || exit 1
	sleep 0.2
done
tokens() { python3 -c 'import sys; from urllib.request import urlopen; print(urlopen(sys.argv[1]).read().decode())' "$origin/tokens"; }
got=$(
	for path in people machines; do
		echo "Python, $path: $(venv/bin/python -W ignore client.py "$origin/$path"), $(tokens) tokens"
		echo "TypeScript, $path: $(node client.mjs "$origin/$path" 2>/dev/null), $(tokens) tokens"
		echo "oauth4webapi, $path: $(node other.mjs "$origin/$path"), $(tokens) tokens"
	done
)
want='Python, people: 200, 1 tokens
TypeScript, people: AUTHORIZED, 1 tokens
oauth4webapi, people: token, 1 tokens
Python, machines: No authorization server metadata discovered for configured issuer /machines, 0 tokens
TypeScript, machines: ZodError: authorization_endpoint: Invalid input: expected string, received undefined, 0 tokens
oauth4webapi, machines: token, 1 tokens'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
