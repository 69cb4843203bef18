// The SDK of the CloudEvents project as a publisher.

import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';
import { CloudEvent, HTTP, Mode, emitterFor, httpTransport } from 'cloudevents';
import { SESSION_REVOKED, sessionRevoked, worker } from './support.mjs';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

/** Sends a message of the SDK to `/events`, and returns `{ status, body }`. */
function publisher(url, authorization) {
  return async (message, expected = 202) => {
    const answer = await fetch(`${url}/events`, { method: 'POST', headers: { ...message.headers, authorization }, body: message.body });
    const text = await answer.text();
    assert.equal(answer.status, expected, text);
    return text ? JSON.parse(text) : null;
  };
}

/** The Worker, a way to publish as the operator, and a stream of SETs that shows what came of it. */
async function world(t) {
  const { url, operator, receiver } = await worker(t);
  const waiting = await (await receiver()).polled();
  return { url, operator, waiting, publish: publisher(url, operator.authorization) };
}

test('the emitters of the SDK publish in structured and binary mode', async (t) => {
  const { url, operator, waiting } = await world(t);
  const headers = { authorization: operator.authorization };
  for (const [mode, id] of [[Mode.STRUCTURED, 'structured'], [Mode.BINARY, 'binary']]) {
    const emit = emitterFor(httpTransport(`${url}/events`), { binding: HTTP, mode });
    const answer = await emit(sessionRevoked(id), { headers });
    assert.deepEqual(JSON.parse(answer.body), { accepted: 1, streams: 1, refused: [] });
  }
  const sets = await waiting();
  assert.deepEqual(sets.map((claims) => claims.txn), ['txn-binary', 'txn-structured']);
  for (const claims of sets) {
    assert.deepEqual(claims.sub_id, { format: 'email', email: 'ana@example.com' });
    assert.deepEqual(claims.events, { [SESSION_REVOKED]: { initiating_entity: 'admin' } });
    assert.equal(claims.toe, 1_795_263_000);
  }
});

test('an event that the SDK sends in all modes is one event', async (t) => {
  const { publish, waiting } = await world(t);
  const event = sessionRevoked('evt-1', { traceparent: TRACEPARENT, subject: 'ana', partitionkey: 'p-1' });
  await publish(HTTP.structured(event));
  await publish(HTTP.binary(event));
  await publish(batch([event, event]));
  assert.equal((await waiting()).length, 1);
});

test('a batch of the SDK\'s events is taken whole or not at all', async (t) => {
  const { publish, waiting } = await world(t);
  const events = Array.from({ length: 30 }, (_, number) => sessionRevoked(`evt-${number}`));
  const bad = sessionRevoked('bad', { data: { sub_id: { format: 'email' } } });
  const refused = await publish(batch([...events.slice(0, 2), bad]), 400);
  assert.equal(refused.pointer, '/2/data/sub_id/email');
  assert.deepEqual(await waiting(), []);
  assert.deepEqual(await publish(batch(events)), { accepted: 30, streams: 1, refused: [] });
  assert.deepEqual((await waiting()).map((claims) => claims.txn), events.map((event) => `txn-${event.id}`).sort());
  assert.equal(await publish(batch([]), 204), null);
});

test('what the SDK generates is enough: ids and times of its own', async (t) => {
  const { publish, waiting } = await world(t);
  const before = Math.floor(Date.now() / 1000);
  const data = { sub_id: { format: 'opaque', id: '1' } };
  for (let number = 0; number < 3; number++) {
    await publish(HTTP.structured(new CloudEvent({ source: '/relative', type: SESSION_REVOKED, data })));
    await publish(HTTP.binary(new CloudEvent({ source: '/relative', type: SESSION_REVOKED, data })));
  }
  const sets = await waiting();
  assert.equal(sets.length, 6);
  assert.equal(new Set(sets.map((claims) => claims.jti)).size, 6);
  for (const claims of sets) assert.ok(claims.toe >= before && claims.toe <= Date.now() / 1000, String(claims.toe));
});

test('an id that stood for another event is a conflict', async (t) => {
  const { publish, waiting } = await world(t);
  await publish(HTTP.structured(sessionRevoked('evt-1')));
  const other = sessionRevoked('evt-1', { data: { sub_id: { format: 'email', email: 'bob@example.com' } } });
  assert.equal((await publish(HTTP.structured(other), 409)).pointer, '/id');
  assert.equal((await publish(HTTP.binary(other), 409)).pointer, '/ce-id');
  // Another source, another event.
  await publish(HTTP.structured(other.cloneWith({ source: 'https://other.example.com/' })));
  assert.equal((await waiting()).length, 2);
});

test('events of version 0.3 are refused', async (t) => {
  const { publish } = await world(t);
  const old = sessionRevoked('evt-1').cloneWith({ specversion: '0.3' }, false);
  assert.equal((await publish(HTTP.structured(old), 400)).pointer, '/specversion');
  assert.equal((await publish(HTTP.binary(old), 400)).pointer, '/ce-specversion');
});

test('text beyond ASCII arrives from headers as it was meant', async (t) => {
  const { url, operator, waiting } = await world(t);
  // The SDK leaves encoding to its users.
  const id = 'Euro € 😀';
  const { headers, body } = HTTP.binary(sessionRevoked(encodeURIComponent(id)));
  const published = await new Promise((resolve, reject) => {
    const request = http.request(`${url}/events`, { method: 'POST', headers: { ...headers, authorization: operator.authorization } }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode));
    });
    request.on('error', reject).end(body);
  });
  assert.equal(published, 202);
  const publish = publisher(url, operator.authorization);
  const same = sessionRevoked(id, { data: JSON.parse(body) });
  await publish(HTTP.structured(same));
  assert.equal((await waiting()).length, 1);
});

test('without the right to publish nothing is taken', async (t) => {
  const { url, operator, waiting } = await world(t);
  for (const authorization of ['Bearer wrong', operator.authorization.slice(0, -1)]) {
    for (const message of [HTTP.structured(sessionRevoked('evt-1')), HTTP.binary(sessionRevoked('evt-1')), batch([])]) {
      await publisher(url, authorization)(message, 401);
    }
  }
  assert.deepEqual(await waiting(), []);
});

/** A batch, for which the SDK has no emitter. */
function batch(events) {
  return { headers: { 'content-type': 'application/cloudevents-batch+json' }, body: JSON.stringify(events) };
}
