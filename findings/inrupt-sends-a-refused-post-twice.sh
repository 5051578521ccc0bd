#!/usr/bin/env bash
# Inrupt's fetch sends a refused POST again, and whether it does depends on how the URL is written.
#
# Software:  @inrupt/solid-client-authn-core 5.0.0 with jose 5.10.0, as published on npm, on Node.js 20 (tried
#            with 20.20.2).
# Behaviour: buildAuthenticatedFetch gives a fetch with DPoP. A POST is answered with 403 or 401. If its URL
#            is the text of a normalized URL, it is sent once. If it is a URL object, if it has a fragment,
#            or if the "/" after the host is missing, it is sent twice, with the body. With a Bearer token
#            it is sent once. It is also sent once if the status is 400 or 500.
# Surprise:  fetch takes a URL object as well as a text, with the same meaning. No redirect has happened, and
#            no nonce was asked for (RFC 9449 section 9). The library compares the URL of the response with
#            what it was given, and takes each difference for a redirect. By RFC 9110 section 9.2.2 a client
#            should not repeat a POST by itself. A host that counts wrong passwords counts each one twice.
# Needs:     bash, Node.js 20 or newer, npm.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund @inrupt/solid-client-authn-core@5.0.0 jose@5.10.0 </dev/null >/dev/null
cat >main.mjs <<'JS'
import { once } from 'node:events';
import { createServer } from 'node:http';

import { buildAuthenticatedFetch, generateDpopKeyPair } from '@inrupt/solid-client-authn-core';

let seen = [];
let status;
const server = createServer(async (request, response) => {
  const body = await request.toArray();
  seen.push(`${request.method} ${request.url} ${Buffer.concat(body)}`);
  response.statusCode = status;
  response.end();
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const host = `http://127.0.0.1:${server.address().port}`;

async function post(name, dpopKey, wanted, path, kind = (text) => text) {
  seen = [];
  status = wanted;
  const send = await buildAuthenticatedFetch('token', { dpopKey });
  const response = await send(kind(host + path), { method: 'POST', body: 'order' });
  console.log(`${name}, ${response.status}: ${seen.join(', ')}`);
}
const object = (text) => new URL(text);
const key = await generateDpopKeyPair();
await post('text', key, 403, '/sign');
await post('URL object', key, 403, '/sign', object);
await post('URL object', key, 401, '/sign', object);
await post('URL object', key, 400, '/sign', object);
await post('URL object', key, 500, '/sign', object);
await post('text with a fragment', key, 403, '/sign#page');
await post('text without a path', key, 403, '');
await post('text with the path /', key, 403, '/');
await post('URL object, Bearer', undefined, 403, '/sign', object);
server.close();
JS
got=$(node main.mjs)
want='text, 403: POST /sign order
URL object, 403: POST /sign order, POST /sign order
URL object, 401: POST /sign order, POST /sign order
URL object, 400: POST /sign order
URL object, 500: POST /sign order
text with a fragment, 403: POST /sign order, POST /sign order
text without a path, 403: POST / order, POST / order
text with the path /, 403: POST / order
URL object, Bearer, 403: POST /sign order'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
