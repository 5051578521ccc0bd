#!/usr/bin/env bash
# A client id with a hyphen does not log in by Basic from openid-client to @node-oauth/oauth2-server.
#
# Software:  oauth4webapi 3.8.8, which openid-client 6 is made of, and @node-oauth/oauth2-server 5.3.0,
#            all as published on npm; curl for comparison.
# Behaviour: ClientSecretBasic of oauth4webapi writes "%2D" for "-", and does the same with "." "_" and
#            "*". The server takes what stands in the header as it is, finds no client "my%2Dapp", and
#            says invalid_client. The same client is let in with the secret in the body, and by curl,
#            which encodes nothing.
# Surprise:  RFC 6749 section 2.3.1 has both sides use application/x-www-form-urlencoded, which leaves
#            these four characters alone: URLSearchParams writes "my-app". So a server that does not
#            decode works with the ordinary client ids and secrets, base64url among them, and with every
#            other client. With this one, it fails for most, and says that the secret is wrong.
# Needs:     bash, curl, Node.js 20 or newer, npm.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund oauth4webapi@3.8.8 @node-oauth/oauth2-server@5.3.0 </dev/null >/dev/null
cat >main.mjs <<'JS'
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import OAuth2Server from '@node-oauth/oauth2-server';
import * as oauth from 'oauth4webapi';

let asked;
const oauthServer = new OAuth2Server({
  model: {
    getClient: async (id, secret) => {
      asked = id;
      return (id === 'app' || id === 'my-app') && secret === 'secret' ? { id, grants: ['client_credentials'] } : null;
    },
    getUserFromClient: async () => ({}),
    saveToken: async (token, client, user) => ({ ...token, client, user }),
  },
});
const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const answer = new OAuth2Server.Response({});
  await oauthServer.token(new OAuth2Server.Request({
    method: request.method, headers: request.headers, query: {}, body: Object.fromEntries(new URLSearchParams(body)),
  }), answer).catch(() => {});
  response.writeHead(answer.status, { ...answer.headers, 'Content-Type': 'application/json' });
  response.end(JSON.stringify(answer.body));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${server.address().port}/token`;

console.log('URLSearchParams:', new URLSearchParams({ id: 'my-app' }).toString());
for (const client_id of ['app', 'my-app']) {
  for (const [name, authentication] of [['Basic', oauth.ClientSecretBasic('secret')], ['body', oauth.ClientSecretPost('secret')]]) {
    const response = await oauth.clientCredentialsGrantRequest({ issuer: url, token_endpoint: url }, { client_id }, authentication, {}, { [oauth.allowInsecureRequests]: true });
    console.log(`${client_id}, oauth4webapi, ${name}: the server looks for ${asked}, ${response.status} ${(await response.json()).error ?? ''}`.trim());
  }
  const { stdout } = await promisify(execFile)('curl', ['-s', '-o', 'body', '-w', '%{http_code}', '-u', `${client_id}:secret`, '-d', 'grant_type=client_credentials', url]);
  console.log(`${client_id}, curl, Basic: the server looks for ${asked}, ${stdout}`);
}
server.close();
server.closeAllConnections();
JS
want='URLSearchParams: id=my-app
app, oauth4webapi, Basic: the server looks for app, 200
app, oauth4webapi, body: the server looks for app, 200
app, curl, Basic: the server looks for app, 200
my-app, oauth4webapi, Basic: the server looks for my%2Dapp, 401 invalid_client
my-app, oauth4webapi, body: the server looks for my-app, 200
my-app, curl, Basic: the server looks for my-app, 200'
got=$(node main.mjs)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
