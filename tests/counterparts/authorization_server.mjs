// An OAuth authorization server that others wrote: oidc-provider, with a client for each way to prove who one is.

import { generateKeyPair, exportJWK } from 'jose';
import Provider from 'oidc-provider';
import { listen } from './transmitter.mjs';

export const SCOPE = 'ssf.read ssf.manage';

/** What has to be encoded before it goes into a Basic header (RFC 6749 2.3.1), and what might be taken for encoded already. */
export const SECRET = 'a secret: 100%25 & +more=~/"\'*-._!';

/** Who asks for the tokens' validity on the transmitter's side. */
const RESOURCE_SERVER = { client_id: 'transmitter', client_secret: 'transmitters-own' };

/**
 * Starts it below `path` on loopback. `life_s` is how long its tokens live. They are JWTs for whoever names a resource, and mean
 * nothing to others without one. Returns `{ issuer, tokenEndpoint, privateKeys, granted, errors, introspect(token) }`.
 */
export async function startAuthorizationServer(t, { path = '', life_s = 600 } = {}) {
  const privateKeys = {};
  const publicKeys = {};
  for (const alg of ['RS256', 'ES256']) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    privateKeys[alg] = { ...(await exportJWK(privateKey)), kid: `client-${alg}`, alg };
    publicKeys[alg] = { ...(await exportJWK(publicKey)), kid: `client-${alg}`, alg };
  }
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const own = { ...(await exportJWK(privateKey)), kid: 'server', alg: 'RS256', use: 'sig' };
  const client = (client_id, token_endpoint_auth_method, more) => ({
    client_id, token_endpoint_auth_method, grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: SCOPE, ...more,
  });
  const asserted = (alg) => client(`asserted ${alg}`, 'private_key_jwt', { token_endpoint_auth_signing_alg: alg, jwks: { keys: [publicKeys[alg]] } });

  let callback;
  const origin = await listen(t, (request, response) => {
    if (!request.url.startsWith(`${path}/`)) return response.writeHead(404).end();
    // As its documentation says for a provider that is mounted below a path.
    request.originalUrl = request.url;
    request.url = request.url.slice(path.length);
    return callback(request, response);
  });
  const issuer = origin + path;
  const provider = new Provider(issuer, {
    jwks: { keys: [own] },
    // The last one is for none of these clients.
    scopes: [...SCOPE.split(' '), 'others'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    clients: [
      client('by basic: +1', 'client_secret_basic', { client_secret: SECRET }),
      client('by post', 'client_secret_post', { client_secret: SECRET }),
      asserted('RS256'),
      asserted('ES256'),
      client(RESOURCE_SERVER.client_id, 'client_secret_post', { client_secret: RESOURCE_SERVER.client_secret, scope: undefined }),
    ],
    ttl: { ClientCredentials: life_s },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, resource) => ({
          scope: SCOPE, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: life_s, jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  const granted = [];
  const errors = [];
  provider.on('grant.success', (context) => granted.push(context.oidc.client.clientId));
  provider.on('grant.error', (_, error) => errors.push(`${error.error}: ${error.error_detail ?? error.error_description}`));
  callback = provider.callback();
  const introspect = async (token) => {
    const form = new URLSearchParams({ token, ...RESOURCE_SERVER });
    const answer = await (await fetch(`${issuer}/token/introspection`, { method: 'POST', body: form })).json();
    if (!answer.active) throw new Error(`not active: ${JSON.stringify(answer)}`);
    return answer;
  };
  return { issuer, tokenEndpoint: `${issuer}/token`, jwksUri: `${issuer}/jwks`, privateKeys, granted, errors, introspect };
}
