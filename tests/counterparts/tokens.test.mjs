// A source gets its access tokens from an authorization server that others wrote, in each way that we speak.

import assert from 'node:assert/strict';
import test from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { eventually, startWorker } from '../worker.mjs';
import { SCOPE, SECRET, startAuthorizationServer } from './authorization_server.mjs';
import { AUDIENCE, startTransmitter } from './transmitter.mjs';

const SETTINGS = { SETUP_AGAIN_S: '3600', POLL_IDLE_MS: '50' };

/** Takes the server's JWTs that are meant for whoever asks, and no others. */
function takesJwts(server) {
  const keys = createRemoteJWKSet(new URL(server.jwksUri));
  return async (token, resource) => {
    const { payload } = await jwtVerify(token, keys, { issuer: server.issuer, audience: resource, typ: 'at+jwt', algorithms: ['RS256'] });
    assert.ok(payload.scope.split(' ').includes('ssf.manage'), payload.scope);
    return payload;
  };
}

/** Asks for a source. Returns `{ path, setup(), until(state), health() }`. */
async function source(operator, transmitter, credentials, delivery = 'push') {
  const request = { issuer: transmitter.issuer, audience: AUDIENCE, delivery, credentials, subjects: [{ format: 'opaque', id: '1' }] };
  const created = await operator.call('POST', '/admin/sources', request, 201);
  const path = `/admin/sources/${created.source_id}`;
  const setup = () => operator.call('GET', `${path}/setup?wait=1`, undefined, 200);
  const until = (state) => eventually(`the set-up is ${state}`, async () => {
    const shown = await setup();
    if (state === 'done') assert.notEqual(shown.state, 'failed', JSON.stringify(shown));
    return shown.state === state ? shown : null;
  });
  const health = () => operator.call('GET', `${path}/health`, undefined, 200);
  return { created, path, until, health };
}

const step = (setup, name) => setup.steps.find((found) => found.step === name);

test('a source is set up with a token of each kind', async (t) => {
  const { operator } = await startWorker(t, SETTINGS);
  const server = await startAuthorizationServer(t, { path: '/as' });
  const common = { token_endpoint: server.tokenEndpoint };
  const ways = {
    client_secret_basic: { client_id: 'by basic: +1', client_secret: SECRET },
    client_secret_post: { client_id: 'by post', client_secret: SECRET, auth_method: 'client_secret_post' },
    'private_key_jwt, RSA': { client_id: 'asserted RS256', private_key: server.privateKeys.RS256 },
    'private_key_jwt, P-256': { client_id: 'asserted ES256', private_key: server.privateKeys.ES256 },
  };
  for (const [name, way] of Object.entries(ways)) {
    for (const delivery of ['push', 'poll']) {
      await t.test(`${name}, ${delivery}`, async (t) => {
        // A JWT for the resource that was named (RFC 8707), and a token that only the server can read.
        const isJwt = delivery === 'push';
        const transmitter = await startTransmitter(t, { authorize: isJwt ? takesJwts(server) : server.introspect });
        // Without a scope both are asked for (CIP-2.7.2-7).
        const credentials = { ...common, ...way, ...(isJwt ? { resource: transmitter.issuer } : { scope: SCOPE }) };
        const { created, until, health, path } = await source(operator, transmitter, credentials, delivery);
        await until('done');
        assert.deepEqual(server.errors, []);
        assert.equal(server.granted.at(-1), way.client_id);
        assert.equal(transmitter.tokens.length, 1, 'one token does for everything');
        const [token] = transmitter.tokens;
        assert.deepEqual([token.client_id, token.scope], [way.client_id, SCOPE]);
        assert.equal(token.value.split('.').length, isJwt ? 3 : 1);
        assert.deepEqual(transmitter.subjects, [{ format: 'opaque', id: '1' }]);
        assert.equal((await health()).state, 'ok');
        // Pitfall 23.
        const shown = JSON.stringify([created.credentials, await operator.call('GET', path, undefined, 200)]);
        for (const secret of [SECRET, way.private_key?.d, token.value]) {
          assert.ok(!secret || !shown.includes(JSON.stringify(secret).slice(1, -1)), shown);
        }
        await operator.call('DELETE', path, undefined, 204);
        assert.equal(transmitter.streams.size, 0);
      });
    }
  }
});

// RFC 9728, then RFC 8414 or, below a path, the place that OpenID Connect Discovery gives the document.
for (const path of ['', '/as']) {
  test(`the authorization server is discovered at ${path || 'an origin'}`, async (t) => {
    const { operator } = await startWorker(t, SETTINGS);
    const server = await startAuthorizationServer(t, { path });
    const transmitter = await startTransmitter(t, { authorize: takesJwts(server), server: () => server.issuer });
    const credentials = { client_id: 'asserted ES256', private_key: server.privateKeys.ES256, scope: SCOPE, resource: transmitter.issuer };
    const { until } = await source(operator, transmitter, credentials);
    await until('done');
    assert.ok(transmitter.seen.includes('GET /.well-known/oauth-protected-resource'));
    assert.deepEqual([server.granted, server.errors], [['asserted ES256'], []]);
  });
}

test('a token is renewed before it ends', async (t) => {
  const { operator } = await startWorker(t, SETTINGS);
  const server = await startAuthorizationServer(t, { life_s: 10 });
  const transmitter = await startTransmitter(t, { authorize: takesJwts(server) });
  const credentials = { client_id: 'by post', client_secret: SECRET, auth_method: 'client_secret_post',
    token_endpoint: server.tokenEndpoint, scope: SCOPE, resource: transmitter.issuer };
  const { until, path } = await source(operator, transmitter, credentials, 'poll');
  await until('done');
  const [first, second] = await eventually('another token is used', async () => {
    await operator.call('GET', `${path}/status`, undefined, 200);
    return transmitter.tokens.length > 1 ? transmitter.tokens : null;
  });
  assert.ok(second.iat < first.exp, JSON.stringify([first, second]));
  assert.deepEqual(transmitter.refusals, [], 'nothing was asked with a token that had ended');
});

test('a client that is refused is told why, and mended by PATCH', async (t) => {
  const { operator } = await startWorker(t, SETTINGS);
  const server = await startAuthorizationServer(t);
  const transmitter = await startTransmitter(t, { authorize: takesJwts(server) });
  const common = { token_endpoint: server.tokenEndpoint, scope: SCOPE, resource: transmitter.issuer };
  const { private_key, ...good } = { client_id: 'asserted RS256', private_key: server.privateKeys.RS256, ...common };
  const wrong = [
    [{ client_id: 'by basic: +1', client_secret: 'wrong', ...common }, /invalid_client/],
    [{ client_id: 'nobody', client_secret: SECRET, ...common }, /invalid_client/],
    // It is registered for the other way.
    [{ client_id: 'asserted RS256', client_secret: SECRET, ...common }, /invalid_client/],
    [{ ...good, private_key: server.privateKeys.ES256 }, /invalid_client/],
    [{ ...good, private_key, scope: 'ssf.read others' }, /invalid_scope/],
    [{ ...good, private_key, resource: 'no URI' }, /invalid_target/],
  ];
  const { path, until, health } = await source(operator, transmitter, wrong[0][0]);
  for (const [at, [credentials, why]] of wrong.entries()) {
    if (at > 0) await operator.call('PATCH', path, { credentials }, 200);
    // The failure of the credentials before must not be taken for theirs.
    await eventually(`the server refused ${at + 1} times`, () => server.errors.length >= at + 1);
    const failed = step(await until('failed'), 'token');
    assert.equal(failed.state, 'failed');
    assert.match(failed.detail, why);
    assert.ok(failed.detail.includes('/token'), `it says who answered so: ${failed.detail}`);
    const { state, problems } = await health();
    assert.deepEqual([state, problems.map(({ code }) => code)], ['attention', ['token_refused']]);
    assert.match(problems[0].detail, why);
  }
  assert.equal(transmitter.tokens.length + transmitter.refusals.length, 0, 'nobody was asked without a token');
  await operator.call('PATCH', path, { credentials: { ...good, private_key } }, 200);
  await until('done');
  assert.deepEqual((await health()).problems, []);
});
