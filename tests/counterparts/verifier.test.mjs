// What our transmitter signs, jose verifies with what our metadata says.

import assert from 'node:assert/strict';
import test from 'node:test';
import { calculateJwkThumbprint, createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { eventually, registeredReceiver, startWorker } from '../worker.mjs';
import { AUDIENCE, SESSION_REVOKED, listen } from './transmitter.mjs';

/** A tenant, and a verifier that knows nothing but its issuer. */
async function world(t, tenant, settings = {}) {
  const { url, operator } = await startWorker(t, settings);
  const { issuer } = await operator.call('POST', '/admin/tenants', { tenant: 'acme', ...tenant }, 201);
  const metadata = await (await fetch(`${url}/.well-known/ssf-configuration/t/acme`)).json();
  assert.equal(metadata.issuer, issuer);
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), { cooldownDuration: 0 });
  const verify = (set, more = {}) => jwtVerify(set, keys, { issuer, audience: AUDIENCE, typ: 'secevent+jwt', algorithms: ['RS256', 'ES256'], ...more });
  const publish = (id) => operator.call('POST', '/t/acme/events', {
    events: [{ id, type: SESSION_REVOKED, sub_id: { format: 'email', email: `${id}@example.com` }, event: { initiating_entity: 'admin' }, txn: id, toe: 1_795_263_000 }],
  }, 202);
  const published = async () => (await (await fetch(metadata.jwks_uri)).json()).keys;
  const receiver = (endpoints) => registeredReceiver(url, operator, endpoints, '/t/acme');
  const change = (settings) => operator.call('PATCH', '/admin/tenants/acme', settings, 200);
  return { url, operator, issuer, keys, verify, publish, published, receiver, change };
}

/** An endpoint that keeps what it is pushed. */
async function endpoint(t) {
  const sets = [];
  const origin = await listen(t, async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString();
    if (request.method === 'POST') sets.push({ type: request.headers['content-type'], set: body });
    response.writeHead(202).end();
  });
  return { url: `${origin}/events`, sets };
}

/** A stream that is polled. `take()` gives what waits, and acknowledges it. */
async function polled(api) {
  const { stream_id } = await api.call('POST', '/ssf/streams', { delivery: { method: 'urn:ietf:rfc:8936' } }, 201);
  const ask = (body) => api.call('POST', `/ssf/poll/${stream_id}`, { returnImmediately: true, ...body }, 200);
  const take = async () => {
    const { sets } = await ask({});
    await ask({ ack: Object.keys(sets), maxEvents: 0 });
    return Object.entries(sets);
  };
  return { stream_id, take };
}

function checkClaims({ payload, protectedHeader }, id, alg) {
  assert.deepEqual(Object.keys(protectedHeader).sort(), ['alg', 'kid', 'typ']);
  assert.equal(protectedHeader.alg, alg);
  assert.deepEqual(payload.events, { [SESSION_REVOKED]: { initiating_entity: 'admin' } });
  assert.deepEqual([payload.txn, payload.toe, payload.sub_id], [id, 1_795_263_000, { format: 'email', email: `${id}@example.com` }]);
  // SSF-4.1.2-2, SSF-4.1.7-2.
  assert.deepEqual([payload.sub, payload.exp], [undefined, undefined]);
}

for (const alg of ['RS256', 'ES256']) {
  test(`jose verifies what is pushed and polled, ${alg}`, async (t) => {
    const { issuer, verify, publish, published, receiver } = await world(t, { signing_alg: alg });
    const { url, sets } = await endpoint(t);
    const api = await receiver([url]);
    const pushed = await api.call('POST', '/ssf/streams', { delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: url } }, 201);
    const { take } = await polled(api);
    await publish('evt-1');
    await eventually('it is pushed', () => sets.length === 1);
    const [{ type, set }] = sets;
    assert.equal(type, 'application/secevent+jwt');
    checkClaims(await verify(set, { algorithms: [alg] }), 'evt-1', alg);
    const [[jti, other]] = await take();
    const verified = await verify(other, { algorithms: [alg] });
    checkClaims(verified, 'evt-1', alg);
    assert.equal(verified.payload.jti, jti);

    // What jose would not verify if anything were otherwise.
    const parts = set.split('.');
    const changed = [parts[0], Buffer.from(JSON.stringify({ ...(await verify(set)).payload, txn: 'x' })).toString('base64url'), parts[2]].join('.');
    await assert.rejects(verify(changed), errors.JWSSignatureVerificationFailed);
    await assert.rejects(verify(set, { audience: 'https://other.example' }), errors.JWTClaimValidationFailed);
    await assert.rejects(verify(set, { issuer: `${issuer}/` }), errors.JWTClaimValidationFailed);

    // Verification comes the same way.
    await api.call('POST', '/ssf/verification', { stream_id: pushed.stream_id, state: 'st-1' }, 204);
    await eventually('the verification is pushed', () => sets.length === 2);
    const { payload } = await verify(sets[1].set);
    assert.deepEqual([payload.sub_id, Object.values(payload.events)], [{ format: 'opaque', id: pushed.stream_id }, [{ state: 'st-1' }]]);

    // Keys say what they are for, and hold nothing private.
    for (const key of await published()) {
      assert.deepEqual([key.alg, key.use, key.d, key.p], [alg, 'sig', undefined, undefined]);
      assert.equal((await calculateJwkThumbprint(key)).length, 43);
    }
    // An access token is signed by the same keys, and is no SET (RFC 9068, RFC 8725 3.11).
    const token = await verify(api.access_token, { audience: issuer, typ: 'at+jwt' }).catch((error) => error);
    assert.ok(token.payload?.exp > token.payload?.iat, String(token));
    await assert.rejects(verify(api.access_token, { audience: issuer }), errors.JWTClaimValidationFailed);
  });
}

// Design 7: a new key is published before it signs, and the old one stays while something that it signed may be on its way. Streams
// that are there ask for a new key when theirs is a minute old; others get it at once.
test('jose follows the rotation of our keys', async (t) => {
  const { verify, publish, published, receiver, change, keys } = await world(t, {}, { JWKS_MAX_AGE_S: '1' });
  const api = await receiver();
  const old = await polled(api);
  let sent = 0;
  const next = async ({ take }) => {
    await publish(`evt-${++sent}`);
    const [[, set]] = await take();
    const { alg } = decodeProtectedHeader(set);
    checkClaims(await verify(set), `evt-${sent}`, alg);
    return { alg, set };
  };
  const first = await next(old);
  assert.equal(first.alg, 'RS256');
  assert.equal(keys.jwks().keys.length, 1);
  await change({ signing_alg: 'ES256' });
  const algs = [];
  await eventually('the new key signs', async () => {
    const stream = await polled(api);
    algs.push((await next(stream)).alg);
    await api.call('DELETE', `/ssf/streams?stream_id=${stream.stream_id}`, undefined, 204);
    await old.take();
    return algs.at(-1) === 'ES256';
  });
  assert.equal(algs[0], 'RS256', 'the old key signs until everybody can know the new one');
  assert.deepEqual((await published()).map(({ alg }) => alg).sort(), ['ES256', 'RS256']);
  assert.equal(keys.jwks().keys.length, 2, 'jose fetched them again for the kid that it did not know');
  // What the old key signed is still good for whoever knows the keys of now, and it signs on in the stream that has it.
  await verify(first.set);
  assert.equal((await next(old)).alg, 'RS256');
});
