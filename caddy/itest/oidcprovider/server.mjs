// Runs oidc-provider, the certified OpenID provider, until standard input ends:
//
//	node server.mjs
//
// on a free port of the loopback interface. The first line of output is the issuer.
// Each other line is JSON for a request to the token endpoint: the client assertion, the
// DPoP proof and the status of the response. PUT /clients registers a client, or replaces
// it. The body is its metadata (RFC 7591). Access tokens are JWTs, bound to the proof's
// key. If a client has require_dpop_nonce, its proofs must carry a nonce of the provider.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

import { Provider } from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const scope = 'esign esign/b2b esign/csc';
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const clients = new Map();

const provider = new Provider(issuer, {
  adapter: (model) => (model === 'Client' ? { find: async (id) => clients.get(id) } : new MemoryAdapter(model)),
  clientDefaults: {
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    id_token_signed_response_alg: 'ES256', // that of the one key
  },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  enabledJWA: { clientAuthSigningAlgValues: ['ES256', 'ES384', 'EdDSA', 'RS256'] },
  extraClientMetadata: { properties: ['require_dpop_nonce'] },
  scopes: scope.split(' '),
  ttl: { ClientCredentials: 300 },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'provider' }] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: {
      enabled: true,
      nonceSecret: randomBytes(32),
      requireNonce: (ctx) => ctx.oidc.client?.require_dpop_nonce === true,
    },
    // Access tokens are JWTs only if they are for a resource server.
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:esign',
      getResourceServerInfo: () => ({ scope, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
    },
  },
});
provider.use(async (ctx, next) => {
  await next();
  if (ctx.oidc?.route === 'token') {
    console.log(JSON.stringify({
      assertion: ctx.oidc.body?.client_assertion,
      proof: ctx.get('DPoP') || undefined,
      status: ctx.status,
    }));
  }
});

const serve = provider.callback();
server.on('request', async (req, res) => {
  if (req.method !== 'PUT' || req.url !== '/clients') {
    serve(req, res);
    return;
  }
  const metadata = await json(req);
  clients.set(metadata.client_id, metadata);
  res.writeHead(204).end();
});
console.log(issuer);

process.stdin.resume();
process.stdin.on('end', () => process.exit());
