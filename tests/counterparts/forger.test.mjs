// SETs that jose signs are accepted at /receive/{source_id}; those that it forges are refused with the right word.

import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import test from 'node:test';
import { CompactEncrypt, FlattenedSign, UnsecuredJWT, exportJWK, exportPKCS8, exportSPKI, importJWK, importPKCS8 } from 'jose';
import { eventually, startWorker } from '../worker.mjs';
import { AUDIENCE, SESSION_REVOKED, claims, key, listen, sign, startTransmitter } from './transmitter.mjs';

/** A source whose transmitter publishes a key of each kind. `push(set)` sends with the right header. */
async function world(t, settings) {
  const { url, operator } = await startWorker(t, settings);
  const transmitter = await startTransmitter(t);
  const [rsa, ec] = [await key('RS256', 'rsa'), await key('ES256', 'ec')];
  transmitter.keys = [rsa, ec];
  const source = await operator.call('POST', '/admin/sources', { issuer: transmitter.issuer, audience: AUDIENCE }, 201);
  const path = `/admin/sources/${source.source_id}`;
  const push = async (set, type = 'application/secevent+jwt') => {
    const headers = { authorization: source.authorization_header, 'content-type': type };
    const answer = await fetch(source.receive_url, { method: 'POST', headers, body: set });
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  };
  const inbox = async () => (await operator.call('GET', `${path}/events?limit=1000`, undefined, 200)).events;
  return { url, operator, transmitter, issuer: transmitter.issuer, rsa, ec, path, push, inbox };
}

test('what jose signs is accepted and kept as it is', async (t) => {
  const { issuer, rsa, ec, push, inbox } = await world(t);
  const sent = [];
  for (const signing of [rsa, ec]) {
    for (const [payload, header] of [
      [claims(issuer), {}],
      // RFC 7515 4.1.9, RFC 8417 2.3: the long form of the type, and letters of any case.
      [claims(issuer), { typ: 'application/SecEvent+JWT' }],
      [claims(issuer, { aud: ['https://other.example', AUDIENCE] }), {}],
      [claims(issuer, { unheard_of: { deep: [1, null, 'ü'] } }), { unheard_of: true }],
    ]) {
      const set = await sign(payload, signing, header);
      const { status, text } = await push(set);
      // PUSH-2.2-1.
      assert.deepEqual([status, text], [202, ''], `${signing.alg} ${JSON.stringify(payload)}`);
      sent.push({ payload, set });
    }
  }
  const events = await inbox();
  assert.deepEqual(events.map(({ set }) => set), sent.map(({ set }) => set));
  for (const [at, { payload }] of sent.entries()) {
    const { jti, iss, sub_id, txn } = payload;
    assert.deepEqual([events[at].jti, events[at].iss, events[at].sub_id, events[at].txn], [jti, iss, sub_id, txn]);
    assert.deepEqual([events[at].type, events[at].event], [SESSION_REVOKED, payload.events[SESSION_REVOKED]]);
  }
});

/** base64url of a JOSE header or of claims. */
const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** The same bytes under another header, other claims or another signature. */
function altered(set, { header, payload, signature }) {
  const parts = set.split('.');
  return [header === undefined ? parts[0] : part(header), payload === undefined ? parts[1] : part(payload), signature ?? parts[2]].join('.');
}

/** What a forger makes of it: `[what, err, set]`. */
async function forgeries({ issuer, rsa, ec }, trap) {
  const good = (more) => claims(issuer, more);
  const header = ({ alg, kid }, more) => ({ alg, kid, typ: 'secevent+jwt', ...more });
  const forger = { RS256: await key('RS256', 'rsa'), ES256: await key('ES256', 'ec') };
  const now = Math.floor(Date.now() / 1000);
  const list = [];
  const add = (what, err, set) => list.push([what, err, set]);

  // Nobody signed.
  add('unsecured, as jose writes it', 'invalid_request', new UnsecuredJWT(good()).encode());
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
    for (const signature of ['', 'AAAA', (await sign(good(), ec)).split('.')[2]]) {
      const set = [part({ alg, kid: 'ec', typ: 'secevent+jwt' }), part(good()), signature].join('.');
      add(`alg ${alg}, signature ${signature}`, 'invalid_key', set);
    }
  }
  // Signed with what everybody has.
  for (const { kid, publicKey, jwk } of [rsa, ec]) {
    const pem = await exportSPKI(publicKey);
    const texts = { pem, 'pem, trimmed': pem.trim(), jwk: JSON.stringify(jwk), der: Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64') };
    for (const [what, secret] of Object.entries({ ...texts, modulus: Buffer.from(jwk.n ?? jwk.x + jwk.y, 'base64url') })) {
      for (const alg of ['HS256', 'HS384', 'HS512']) {
        const hmac = { alg, kid, privateKey: createSecretKey(Buffer.from(secret)) };
        add(`${alg} with the public key of ${kid} as ${what}`, 'invalid_key', await sign(good(), hmac));
      }
    }
  }
  // Signed by somebody else who says he is the one, or brings his own key.
  for (const [alg, genuine] of [['RS256', rsa], ['ES256', ec]]) {
    const theirs = forger[alg];
    const own = await exportJWK(theirs.publicKey);
    add(`${alg} by another key`, 'invalid_key', await sign(good(), theirs));
    for (const [what, more] of Object.entries({
      'jwk': { jwk: own },
      'jwk, its own kid': { jwk: { ...own, kid: 'mine' }, kid: 'mine' },
      'jku': { jku: trap.url },
      'jku, its own kid': { jku: trap.url, kid: 'mine' },
      'x5u': { x5u: trap.url },
      'a URL as kid': { kid: trap.url },
      'a path as kid': { kid: '../../jwks.json' },
    })) add(`${alg} with ${what} in the header`, 'invalid_key', await sign(good(), theirs, more));
    // The right key, by a wrong name.
    add(`${alg} with an unknown kid`, 'invalid_key', await sign(good(), genuine, { kid: 'unknown' }));
    add(`${alg} with the kid of the other key`, 'invalid_key', await sign(good(), genuine, { kid: alg === 'RS256' ? 'ec' : 'rsa' }));

    // Changed after it was signed.
    const set = await sign(good(), genuine);
    add(`${alg}, other claims`, 'invalid_key', altered(set, { payload: good({ sub_id: { format: 'email', email: 'eve@example.com' } }) }));
    add(`${alg}, a member more in the header`, 'invalid_key', altered(set, { header: header(genuine, { x: 1 }) }));
    add(`${alg}, the signature of another`, 'invalid_key', altered(set, { signature: (await sign(good(), genuine)).split('.')[2] }));
    add(`${alg}, half a signature`, 'invalid_key', altered(set, { signature: part('half') }));
    add(`${alg}, a signature of nothing`, 'invalid_key', altered(set, { signature: Buffer.alloc(alg === 'RS256' ? 256 : 64).toString('base64url') }));

    // Some other token of the same issuer's.
    for (const typ of ['JWT', 'at+jwt', 'logout+jwt', 'secevent', 'secevent+jwt+x', 'text/secevent+jwt', undefined]) {
      add(`${alg}, typ ${typ}`, 'invalid_request', await sign(good(), genuine, { typ }));
    }
    // RFC 7515 4.1.11: demands that nobody here knows.
    const strict = (more, crit) => sign(good(), genuine, { ...more, crit: Object.keys(more) }, { crit });
    add(`${alg}, crit`, 'invalid_request', await strict({ 'urn:example:x': 1 }, { 'urn:example:x': true }));
    add(`${alg}, crit exp`, 'invalid_request', await strict({ exp: now + 60 }, { exp: true }));

    // Well signed, and not ours.
    for (const [what, err, more] of [
      ['iss of another', 'invalid_issuer', { iss: 'https://evil.example' }],
      ['iss with a slash more', 'invalid_issuer', { iss: `${issuer}/` }],
      ['aud of another', 'invalid_audience', { aud: 'https://other.example' }],
      ['aud of others', 'invalid_audience', { aud: ['https://other.example', `${AUDIENCE}/`] }],
      ['no aud', 'invalid_audience', { aud: undefined }],
      ['iat tomorrow', 'invalid_request', { iat: now + 86_400 }],
      ['exp, SSF-4.1.7-2', 'invalid_request', { exp: now + 3600 }],
      ['sub, SSF-4.1.2-2', 'invalid_request', { sub: 'ana' }],
      ['no jti', 'invalid_request', { jti: undefined }],
      ['no events', 'invalid_request', { events: undefined }],
      ['two events', 'invalid_request', { events: { [SESSION_REVOKED]: {}, 'https://vendor.example/x': {} } }],
    ]) add(`${alg}, ${what}`, err, await sign(good(more), genuine));
  }
  // The right key, in a way that is not the one it is published for.
  for (const alg of ['RS384', 'RS512', 'PS256', 'PS384', 'PS512']) {
    const privateKey = await importPKCS8(await exportPKCS8(rsa.privateKey), alg);
    add(`${alg} with the RSA key`, 'invalid_key', await sign(good(), { ...rsa, alg, privateKey }));
  }
  add('ES384', 'invalid_key', await sign(good(), { ...(await key('ES384', 'ec')) }));
  add('EdDSA', 'invalid_key', await sign(good(), { ...(await key('EdDSA', 'ec')) }));

  // No compact JWS.
  const flat = await new FlattenedSign(Buffer.from(JSON.stringify(good()))).setProtectedHeader(header(ec)).sign(ec.privateKey);
  add('JSON serialization', 'invalid_request', JSON.stringify(flat));
  const encrypted = new CompactEncrypt(Buffer.from(await sign(good(), ec))).setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', typ: 'secevent+jwt' });
  const rsaForEncryption = await importJWK({ ...rsa.jwk, alg: 'RSA-OAEP-256', use: 'enc' });
  add('encrypted', 'invalid_request', await encrypted.encrypt(rsaForEncryption));
  const detached = (await sign(good(), ec)).split('.');
  add('without its claims', 'invalid_request', `${detached[0]}..${detached[2]}`);
  add('claims that are said to be a JWT', 'invalid_request', await sign(good(), ec, { cty: 'JWT' }));
  add('padded', 'invalid_request', `${await sign(good(), ec)}=`);
  return list;
}

test('what jose forges is refused and leaves nothing behind', async (t) => {
  const { issuer, rsa, ec, push, inbox, operator, path } = await world(t, { KEY_REFETCH_MS: '0' });
  const trap = { asked: 0 };
  const jwk = { ...(await exportJWK((await key('RS256', 'mine')).publicKey)), kid: 'mine' };
  trap.url = `${await listen(t, (_, response) => { trap.asked += 1; response.end(JSON.stringify({ keys: [jwk] })); })}/jwks.json`;
  const list = await forgeries({ issuer, rsa, ec }, trap);
  for (const [what, err, set] of list) {
    const { status, headers, text } = await push(set);
    assert.equal(status, 400, `${what}: ${status} ${text}`);
    // PUSH-2.3-2 to PUSH-2.3-6.
    assert.deepEqual([headers.get('content-type'), headers.get('content-language')], ['application/json', 'en'], what);
    const body = JSON.parse(text);
    assert.equal(body.err, err, `${what}: ${text}`);
    assert.ok(body.description.length > 0, what);
  }
  assert.equal(new Set(list.map(([what]) => what)).size, list.length, 'each has a name of its own');
  assert.equal(trap.asked, 0, 'nobody fetches what a token names');
  assert.deepEqual(await inbox(), []);
  const health = await operator.call('GET', `${path}/health`, undefined, 200);
  assert.deepEqual([health.received, health.refused], [0, list.length]);
  assert.equal((await push(await sign(claims(issuer), ec))).status, 202, 'the genuine one still comes in');
});

// SSF-4.1.4-2
test('a key that jose made later is found, and one that is withdrawn is no longer good', async (t) => {
  const { issuer, ec, push, inbox, transmitter } = await world(t, { KEY_REFETCH_MS: '100' });
  assert.equal((await push(await sign(claims(issuer), ec))).status, 202);
  const fresh = await key('ES256', 'fresh');
  transmitter.keys = [fresh];
  const sets = [await sign(claims(issuer), fresh), await sign(claims(issuer), fresh)];
  for (const set of sets) {
    await eventually('it is taken', async () => {
      const { status, text } = await push(set);
      assert.ok([202, 503].includes(status), `never refused: ${status} ${text}`);
      return status === 202;
    });
  }
  const withdrawn = await sign(claims(issuer), ec);
  const refused = await eventually('it is refused', async () => {
    const { status, text } = await push(withdrawn);
    assert.ok([400, 503].includes(status), `never taken: ${status} ${text}`);
    return status === 400 && JSON.parse(text);
  });
  assert.equal(refused.err, 'invalid_key');
  assert.equal((await inbox()).length, 3);
});
