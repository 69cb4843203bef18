// An SSF transmitter on node. Its SETs are signed by jose; who may manage streams is for `authorize` to say.

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';

export const AUDIENCE = 'https://acme.example';
export const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification';
const PUSH = 'urn:ietf:rfc:8935';
const POLL = 'urn:ietf:rfc:8936';

/** A poll that finds nothing is held for this long. */
const HELD_MS = 1_500;

/** A key that jose made: `{ kid, alg, privateKey, publicKey, jwk }`. */
export async function key(alg, kid) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** The claims of a session-revoked SET, with others in place of its own; `undefined` takes a claim away. */
export function claims(issuer, more = {}) {
  return {
    iss: issuer, aud: AUDIENCE, iat: Math.floor(Date.now() / 1000), jti: randomUUID(), txn: randomUUID(),
    sub_id: { format: 'email', email: 'ana@example.com' },
    events: { [SESSION_REVOKED]: { event_timestamp: 1_795_263_000, initiating_entity: 'admin' } },
    ...more,
  };
}

/** Signs as a transmitter should; `header` adds to the JOSE header, or replaces a member of it. */
export function sign(payload, { kid, alg, privateKey }, header = {}, options = undefined) {
  return new SignJWT(payload).setProtectedHeader({ alg, kid, typ: 'secevent+jwt', ...header }).sign(privateKey, options);
}

/** Listens on loopback until the test ends. Returns the origin. */
export async function listen(t, handle) {
  const server = http.createServer(handle);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * Starts a transmitter, whose issuer is its origin. `authorize(token)` says what a token is good for, or throws; `server(issuer)`
 * names the authorization servers, if any are to be discovered.
 */
export async function startTransmitter(t, { authorize = () => { throw new Error('nobody'); }, server = () => null } = {}) {
  const signing = await key('ES256', 'first');
  const state = { issuer: null, keys: [signing], streams: new Map(), subjects: [], outbox: new Map(), tokens: [], refusals: [], seen: [] };
  let wake = () => {};

  const verified = async (stream, asked) => {
    const about = { sub_id: { format: 'opaque', id: stream.stream_id }, events: { [VERIFICATION]: { state: asked } } };
    const payload = claims(state.issuer, about);
    const set = await sign(payload, signing);
    if (stream.delivery.method === POLL) return queue(payload.jti, set);
    await fetch(stream.delivery.endpoint_url, {
      method: 'POST', headers: { 'content-type': 'application/secevent+jwt', authorization: stream.delivery.authorization_header }, body: set,
    });
  };
  const queue = (jti, set) => { state.outbox.set(jti, set); wake(); };
  const poll = async ({ ack = [], setErrs = {}, returnImmediately }) => {
    for (const jti of [...ack, ...Object.keys(setErrs)]) state.outbox.delete(jti);
    if (state.outbox.size === 0 && !returnImmediately) {
      const { promise, resolve } = Promise.withResolvers();
      const patience = setTimeout(resolve, HELD_MS);
      wake = resolve;
      await promise;
      clearTimeout(patience);
    }
    return [200, { sets: Object.fromEntries(state.outbox) }];
  };
  const configured = (stream, body) => {
    for (const name of ['delivery', 'events_requested', 'description']) if (body[name]) stream[name] = body[name];
    stream.events_delivered = stream.events_requested;
    if (stream.delivery.method === POLL) stream.delivery.endpoint_url = `${state.issuer}/poll`;
    return stream;
  };
  const found = (id, act) => (state.streams.has(id) ? act(state.streams.get(id)) : [404]);
  const managed = {
    'GET /streams': ({ id }) => (id ? found(id, (stream) => [200, stream]) : [200, [...state.streams.values()]]),
    'POST /streams': ({ body }) => {
      const stream = configured({ stream_id: randomUUID(), iss: state.issuer, aud: AUDIENCE, status: 'enabled' }, body);
      state.streams.set(stream.stream_id, stream);
      return [201, stream];
    },
    'PATCH /streams': ({ body }) => found(body.stream_id, (stream) => [200, configured(stream, body)]),
    'DELETE /streams': ({ id }) => found(id, () => { state.streams.delete(id); return [204]; }),
    'GET /status': ({ id }) => found(id, ({ stream_id, status }) => [200, { stream_id, status }]),
    'POST /status': ({ body }) => found(body.stream_id, (stream) => [200, { stream_id: stream.stream_id, status: (stream.status = body.status) }]),
    'POST /add': ({ body }) => { state.subjects.push(body.subject); return [200]; },
    'POST /remove': () => [204],
    'POST /verify': ({ body }) => found(body.stream_id, (stream) => { verified(stream, body.state).catch(() => {}); return [204]; }),
    'POST /poll': ({ body }) => poll(body),
  };
  const open = {
    '/.well-known/ssf-configuration': () => ({
      spec_version: '1_0', issuer: state.issuer, jwks_uri: `${state.issuer}/jwks.json`, delivery_methods_supported: [PUSH, POLL],
      configuration_endpoint: `${state.issuer}/streams`, status_endpoint: `${state.issuer}/status`,
      add_subject_endpoint: `${state.issuer}/add`, remove_subject_endpoint: `${state.issuer}/remove`,
      verification_endpoint: `${state.issuer}/verify`,
    }),
    '/.well-known/oauth-protected-resource': () => server(state.issuer) && { resource: state.issuer, authorization_servers: [server(state.issuer)].flat() },
    '/jwks.json': () => ({ keys: state.keys.map(({ jwk }) => jwk) }),
  };
  const answer = async (request, url, text) => {
    const document = request.method === 'GET' && open[url.pathname]?.();
    if (document) return [200, document];
    const act = managed[`${request.method} ${url.pathname}`];
    if (!act) return [404];
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    try {
      const good = await authorize(token, state.issuer);
      if (!state.tokens.some(({ value }) => value === token)) state.tokens.push({ value: token, ...good });
    } catch (error) {
      state.refusals.push(error.message);
      return [401, { error: 'invalid_token', error_description: error.message }];
    }
    return act({ id: url.searchParams.get('stream_id'), body: text ? JSON.parse(text) : {} });
  };
  state.issuer = await listen(t, async (request, response) => {
    const chunks = await request.toArray();
    const url = new URL(request.url, state.issuer);
    state.seen.push(`${request.method} ${url.pathname}`);
    const [status, body] = await answer(request, url, Buffer.concat(chunks).toString());
    response.writeHead(status, { 'content-type': 'application/json' }).end(body && JSON.stringify(body));
  });
  return Object.assign(state, { signing, queue });
}
