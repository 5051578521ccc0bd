#!/usr/bin/env bash
# Two OAuth clients look for the metadata of an issuer with a path where no server has it.
#
# Software:  requests_oauth2client 1.8.0 (with requests 2.34.2), as published on PyPI; @badgateway/oauth2-client
#            3.3.1, openid-client 6.9.0 and oauth4webapi 3.8.8, as published on npm.
# Behaviour: The issuer is http://HOST/realms/x. oauth4webapi and openid-client get its metadata from
#            /.well-known/oauth-authorization-server/realms/x, and then a token. oauth2_discovery_document_url of
#            requests_oauth2client makes /.well-known/realms/x/oauth-authorization-server of it, which is not there.
#            @badgateway/oauth2-client, with the issuer as "server", asks for
#            /.well-known/oauth-authorization-server without the path, passes over the 404 in silence, and (as its
#            README says) falls back on /token, and sends the client's secret there.
# Surprise:  Both name RFC 8414 in their documentation, which puts the well-known part between the host and the path
#            of the issuer (section 3.1). Without a path, both are right, so it works with a provider that has the
#            host for itself, and not with a realm or a tenant. The second one's error is about the token request,
#            and not about the metadata.
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
npm install --silent --no-audit --no-fund @badgateway/oauth2-client@3.3.1 openid-client@6.9.0 oauth4webapi@3.8.8 </dev/null >/dev/null
cat >server.mjs <<'JS'
// An authorization server with the issuer URL/realms/x, whose metadata is where RFC 8414 has it.
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const secret = request.headers.authorization?.startsWith('Basic ') ? ' with the secret' : '';
  console.log(`${request.method} ${request.url}${secret}`);
  const answers = {
    '/.well-known/oauth-authorization-server/realms/x': {
      issuer: `${url}/realms/x`,
      token_endpoint: `${url}/realms/x/protocol/token`,
      token_endpoint_auth_methods_supported: ['client_secret_basic'],
    },
    '/realms/x/protocol/token': { access_token: 'token', token_type: 'Bearer', expires_in: 300 },
  };
  response.statusCode = answers[request.url] ? 200 : 404;
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(answers[request.url] ?? {}));
}).listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
JS
cat >client.mjs <<'JS'
import { OAuth2Client } from '@badgateway/oauth2-client';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';

const [name, url] = process.argv.slice(2);
const issuer = new URL(url);
const insecure = { [oauth.allowInsecureRequests]: true };
const clients = {
  async oauth4webapi() {
    const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
    const server = await oauth.processDiscoveryResponse(issuer, found);
    const client = { client_id: 'client' };
    const authentication = oauth.ClientSecretBasic('secret');
    const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, {}, insecure);
    return (await oauth.processClientCredentialsResponse(server, client, response)).access_token;
  },
  async 'openid-client'() {
    const options = { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] };
    const configuration = await openid.discovery(issuer, 'client', 'secret', openid.ClientSecretBasic('secret'), options);
    return (await openid.clientCredentialsGrant(configuration)).access_token;
  },
  async '@badgateway/oauth2-client'() {
    const client = new OAuth2Client({ server: url, clientId: 'client', clientSecret: 'secret' });
    return (await client.clientCredentials()).accessToken;
  },
};
console.log(await clients[name]().catch((error) => `${error.name}: ${error.message}`));
JS
cat >client.py <<'PY'
import sys

from requests_oauth2client import OAuth2Client, oauth2_discovery_document_url

issuer = sys.argv[1]
try:
    client = OAuth2Client.from_discovery_endpoint(
        oauth2_discovery_document_url(issuer), issuer, client_id="client", client_secret="secret", testing=True
    )
    print(client.client_credentials().access_token)
except Exception as error:
    print(type(error).__name__)
PY
node server.mjs >>log &
server=$!
for ((i = 0; ; i++)); do
	url=$(grep -os '^http://.*' log) && break
	((i < 100)) || exit 1
	sleep 0.2
done
got=$(
	for client in oauth4webapi openid-client @badgateway/oauth2-client requests_oauth2client; do
		: >log
		if [[ $client == requests_oauth2client ]]; then
			result=$(venv/bin/python -W ignore client.py "$url/realms/x")
		else
			result=$(node client.mjs "$client" "$url/realms/x")
		fi
		echo "$client: $result"
		sed 's/^/  /' log
	done
)
want='oauth4webapi: token
  GET /.well-known/oauth-authorization-server/realms/x
  POST /realms/x/protocol/token with the secret
openid-client: token
  GET /.well-known/oauth-authorization-server/realms/x
  POST /realms/x/protocol/token with the secret
@badgateway/oauth2-client: Error: HTTP Error 404 Not Found
  GET /.well-known/oauth-authorization-server
  POST /token with the secret
requests_oauth2client: InvalidParam
  GET /.well-known/realms/x/oauth-authorization-server'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
