#!/usr/bin/env bash
# Inrupt makes DPoP proofs for another host, if two slashes stand before the path.
#
# Software:  @inrupt/solid-client-authn-core 5.0.0 with jose 5.10.0, and oauth4webapi 3.8.8, all as published
#            on npm, on Node.js 20 (tried with 20.20.2).
# Behaviour: The base address of an API ends with "/", and the path begins with one. So the URL is
#            https://api.example//orders/1. The server gets "//orders/1". The proof that the fetch of Inrupt
#            sends with it has the htu "https://orders/1": what stood first in the path is the host. With
#            two slashes at another place, htu is right, and so it is without them. The htu of
#            oauth4webapi is the URL in each case.
# Surprise:  htu is the URL of the request without query and fragment (RFC 9449 section 4.2). Many servers
#            take two slashes for one, so the same call works with a Bearer token. With DPoP the server can
#            only say that the proof is for another URL, and no log of the client has that URL. The
#            library takes the path off the URL, and resolves it as a reference. A reference that begins
#            with two slashes begins with a host (RFC 3986 section 4.2).
# Needs:     bash, Node.js 20 or newer, npm.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund @inrupt/solid-client-authn-core@5.0.0 jose@5.10.0 oauth4webapi@3.8.8 </dev/null >/dev/null
cat >main.mjs <<'JS'
import { buildAuthenticatedFetch, generateDpopKeyPair } from '@inrupt/solid-client-authn-core';
import * as oauth from 'oauth4webapi';

let htu;
const answer = async (_, { headers }) => {
  const proof = new Headers(headers).get('DPoP');
  ({ htu } = JSON.parse(Buffer.from(proof.split('.')[1], 'base64url')));
  return new Response();
};
const send = await buildAuthenticatedFetch('token', { dpopKey: await generateDpopKeyPair(), fetch: answer });
const DPoP = oauth.DPoP({ client_id: 'client' }, await oauth.generateKeyPair('ES256'));
for (const url of process.argv.slice(2)) {
  await send(url);
  console.log(`Inrupt, ${url}: ${htu}`);
  await oauth.protectedResourceRequest('token', 'GET', new URL(url), undefined, null, { DPoP, [oauth.customFetch]: answer });
  console.log(`oauth4webapi, ${url}: ${htu}`);
}
JS
got=$(node main.mjs https://api.example/orders/1 'https://api.example/orders//1?page=2' https://api.example//orders/1 'https://api.example//orders')
want='Inrupt, https://api.example/orders/1: https://api.example/orders/1
oauth4webapi, https://api.example/orders/1: https://api.example/orders/1
Inrupt, https://api.example/orders//1?page=2: https://api.example/orders//1
oauth4webapi, https://api.example/orders//1?page=2: https://api.example/orders//1
Inrupt, https://api.example//orders/1: https://orders/1
oauth4webapi, https://api.example//orders/1: https://api.example//orders/1
Inrupt, https://api.example//orders: https://orders/
oauth4webapi, https://api.example//orders: https://api.example//orders'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
