#!/usr/bin/env bash
# Keycloak overlooks a client's public key without "use", as WebCrypto and jose write it.
#
# Software:  Keycloak 26.7.3, as published on Maven Central; oidc-provider 9.13.3 and oauth4webapi 3.8.8, as
#            published on npm; jose 11 of Debian 12, and WebCrypto of Node.js, as makers of keys.
# Behaviour: A client is registered with a JWK set (jwks.string). WebCrypto's exportKey and "jose jwk pub"
#            write no "use". They write "key_ops":["verify"]. Keycloak says 400 invalid_client, "Unable to
#            load public key". It says so without "key_ops" too. With "use":"sig" the same key works, and
#            "key_ops" does no harm. oidc-provider takes the key in each form.
# Surprise:  "use" is optional (RFC 7517 section 4.2), and "key_ops" says the same (section 4.3). OpenID
#            Connect Core section 10.1 demands "use" only if a set has keys for encryption too. Keycloak
#            registers the client without an error, and the text at the token endpoint sounds as if the
#            key could not be fetched or read.
# Needs:     bash, curl, Java 17, jose, Maven, Node.js 20 or newer, npm, unzip.
# Output:    see "want" below.
set -euo pipefail
version=26.7.3
dir=$(mktemp -d)
server=
stop() {
	if [[ $server ]]; then
		kill -- "-$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap stop EXIT
cd "$dir"

mvn -q -B dependency:get -Dtransitive=false -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" </dev/null >/dev/null
unzip -q "$HOME/.m2/repository/org/keycloak/keycloak-quarkus-dist/$version/keycloak-quarkus-dist-$version.zip"
npm install --silent --no-audit --no-fund oidc-provider@9.13.3 oauth4webapi@3.8.8 </dev/null >/dev/null
jose jwk gen -i '{"kty":"EC","crv":"P-256","key_ops":["sign","verify"]}' -o jose.jwk
jose jwk pub -i jose.jwk -o jose.pub

port=$((61001 + RANDOM % 1300 * 3)) # above the ports of outgoing connections
set -m # a process group of its own, to end as a whole
KC_BOOTSTRAP_ADMIN_CLIENT_ID=admin KC_BOOTSTRAP_ADMIN_CLIENT_SECRET=admin JAVA_OPTS_APPEND=-XX:TieredStopAtLevel=1 \
	"keycloak-$version/bin/kc.sh" start-dev --db=dev-mem --http-host=127.0.0.1 --http-port="$port" </dev/null >log 2>&1 &
server=$!
set +m
realm=http://127.0.0.1:$port/realms/master
for ((i = 0; ; i++)); do
	! curl -fs -o /dev/null "$realm" || break
	((i < 480)) || { cat log; exit 1; }
	sleep 0.5
done

cat >main.mjs <<'JS'
import { readFileSync } from 'node:fs';
import * as oauth from 'oauth4webapi';
import { Provider } from 'oidc-provider';

const realm = process.argv[2];
const { subtle } = crypto;
const es256 = { name: 'ECDSA', namedCurve: 'P-256' };
const pair = await subtle.generateKey(es256, true, ['sign', 'verify']);
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const secret = await subtle.importKey('jwk', { ...read('jose.jwk'), key_ops: ['sign'] }, es256, false, ['sign']);
const made = [
  ['WebCrypto', pair.privateKey, await subtle.exportKey('jwk', pair.publicKey)],
  ['jose', secret, read('jose.pub')],
];
const cases = made.flatMap(([maker, key, { key_ops, ...jwk }]) => [
  [`${maker}, as it is`, key, { ...jwk, key_ops }],
  [`${maker}, without key_ops`, key, jwk],
  [`${maker}, with key_ops and use`, key, { ...jwk, key_ops, use: 'sig' }],
  [`${maker}, with use alone`, key, { ...jwk, use: 'sig' }],
]);

const provider = new Provider('http://127.0.0.1', {
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  ttl: { ClientCredentials: 300 },
  clientAuthMethods: ['private_key_jwt'],
  clients: cases.map(([client_id, , jwk]) => ({
    client_id,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    jwks: { keys: [jwk] },
  })),
});
const server = provider.listen(0, '127.0.0.1');
await new Promise((done) => server.once('listening', done));
const admin = await fetch(`${realm}/protocol/openid-connect/token`, {
  method: 'POST',
  body: new URLSearchParams({ grant_type: 'client_credentials', client_id: 'admin', client_secret: 'admin' }),
});
const { access_token } = await admin.json();

async function ask(issuer, token_endpoint, name, key) {
  const as = { issuer, token_endpoint };
  const response = await oauth.clientCredentialsGrantRequest(as, { client_id: name }, oauth.PrivateKeyJwt(key), {}, {
    [oauth.allowInsecureRequests]: true,
  });
  const { error, error_description } = await response.json();
  return [response.status, error, error_description].filter(Boolean).join(' ');
}
for (const [name, key, jwk] of cases) {
  const registered = await fetch(`${realm.replace('/realms/', '/admin/realms/')}/clients`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${access_token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({
      clientId: name,
      serviceAccountsEnabled: true,
      clientAuthenticatorType: 'client-jwt',
      attributes: { 'use.jwks.string': 'true', 'jwks.string': JSON.stringify({ keys: [jwk] }) },
    }),
  });
  const keycloak = await ask(realm, `${realm}/protocol/openid-connect/token`, name, key);
  const other = await ask('http://127.0.0.1', `http://127.0.0.1:${server.address().port}/token`, name, key);
  console.log(`${name}: Keycloak ${registered.status}, then ${keycloak}; oidc-provider ${other}`);
}
server.close();
JS
got=$(node main.mjs "$realm" 2>errors) || { cat errors; exit 1; }
want='WebCrypto, as it is: Keycloak 201, then 400 invalid_client Unable to load public key; oidc-provider 200
WebCrypto, without key_ops: Keycloak 201, then 400 invalid_client Unable to load public key; oidc-provider 200
WebCrypto, with key_ops and use: Keycloak 201, then 200; oidc-provider 200
WebCrypto, with use alone: Keycloak 201, then 200; oidc-provider 200
jose, as it is: Keycloak 201, then 400 invalid_client Unable to load public key; oidc-provider 200
jose, without key_ops: Keycloak 201, then 400 invalid_client Unable to load public key; oidc-provider 200
jose, with key_ops and use: Keycloak 201, then 200; oidc-provider 200
jose, with use alone: Keycloak 201, then 200; oidc-provider 200'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
