#!/usr/bin/env bash
# oidc-provider hides that a scope is not granted, and that a proof is missing.
#
# Software:  oidc-provider 9.13.3, as published on npm.
# Behaviour: By the client credentials grant, a scope that the provider does not know is
#            left out without an error: if it is the only one, the answer has no scope at
#            all, which by RFC 6749 section 5.1 means that all that was asked for is granted. A scope
#            that it knows, but the client has not, is refused with invalid_scope. A client whose
#            tokens must be bound (dpop_bound_access_tokens), and that sends no proof,
#            gets invalid_grant, "grant request is invalid". A grant that the client has not is
#            invalid_request, not unauthorized_client.
# Surprise:  A client that reads the answer by the standard believes to have a scope that
#            it has not. By the other codes, one looks at credentials and syntax.
# Needs:     bash, curl, Node.js 20 or newer, npm.
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
npm install --ignore-scripts --no-audit --no-fund --loglevel=error oidc-provider@9.13.3 >/dev/null
cat >server.mjs <<'JS'
import { once } from 'node:events';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
const client = {
  client_secret: 'secret', grant_types: ['client_credentials'], response_types: [], redirect_uris: [], scope: 'known',
};
const provider = new Provider(issuer, {
  scopes: ['known', 'other'],
  clients: [
    { ...client, client_id: 'bearer' },
    { ...client, client_id: 'bound', dpop_bound_access_tokens: true },
    { ...client, client_id: 'code', grant_types: ['authorization_code'], response_types: ['code'], redirect_uris: ['https://client.example/'] },
  ],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false }, dPoP: { enabled: true } },
});
server.on('request', provider.callback());
console.log(issuer);
JS
node server.mjs >log 2>&1 &
server=$!
for ((i = 0; ; i++)); do
	issuer=$(grep -o '^http://.*' log) && break
	((i < 100)) || { cat log; exit 1; }
	sleep 0.2
done
# request CLIENT SCOPE asks for a token.
request() {
	curl -sS -u "$1:secret" "$issuer/token" -d grant_type=client_credentials --data-urlencode "scope=$2" -w ' %{http_code}\n' |
		sed 's/"access_token":"[^"]*"/"access_token":…/'
}
got=$(
	request bearer known
	request bearer 'known unknown'
	request bearer unknown
	request bearer other
	request bound known
	request code known
)
want='{"access_token":…,"expires_in":600,"scope":"known","token_type":"Bearer"} 200
{"access_token":…,"expires_in":600,"scope":"known","token_type":"Bearer"} 200
{"access_token":…,"expires_in":600,"token_type":"Bearer"} 200
{"error":"invalid_scope","error_description":"requested scope is not allowed","scope":"other"} 400
{"error":"invalid_grant","error_description":"grant request is invalid"} 400
{"error":"invalid_request","error_description":"requested grant type is not allowed for this client"} 400'
printf '%s\n' "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
