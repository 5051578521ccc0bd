// Runs oidc-provider, the certified OpenID provider, until standard input ends:
//
//	node server.mjs <client metadata, a JSON array>
//
// at a free port of the loopback interface. Its first line of output is the
// issuer; each further one is JSON and tells what came to the token endpoint: the
// client assertion, the DPoP proof and the status of the answer. Every proof must
// carry a nonce of the provider's. Access tokens are JWTs, bound to a proof's key.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const scope = 'esign esign/b2b';
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const provider = new Provider(issuer, {
  clients: JSON.parse(process.argv[2]),
  clientDefaults: {
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'private_key_jwt',
    id_token_signed_response_alg: 'ES256', // that of the one key
  },
  clientAuthMethods: ['private_key_jwt'],
  scopes: scope.split(' '),
  ttl: { ClientCredentials: 300 },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'provider' }] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    // Access tokens are JWTs only where they are for a resource server.
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

server.on('request', provider.callback());
console.log(issuer);

process.stdin.resume();
process.stdin.on('end', () => process.exit());
