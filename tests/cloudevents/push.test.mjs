// The SDK of the CloudEvents project as a receiver.

import assert from 'node:assert/strict';
import test from 'node:test';
import { HTTP } from 'cloudevents';
import { SESSION_REVOKED, VERIFICATION, eventually, isSigned, sdkEndpoint, sessionRevoked, worker } from './support.mjs';

const MODES = ['structured', 'binary', 'batched'];
const TRACE = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'congo=t61rcWkgMzE' };

/** The Worker with one stream that is pushed in a mode to an endpoint of the SDK's. */
async function world(t, cloudevents, answer) {
  const { url, operator, receiver } = await worker(t);
  const endpoint = await sdkEndpoint(t, answer);
  const { pushed, api } = await receiver([endpoint.url]);
  const stream = await pushed(`${endpoint.url}events`, cloudevents);
  const publish = (events) => operator.call('POST', '/events', { events }, 202);
  return { url, operator, endpoint, api, stream, publish, secret: stream.delivery.cloudevents.secret };
}

function event(id, email = 'ana@example.com') {
  return { id, type: SESSION_REVOKED, sub_id: { format: 'email', email }, event: { initiating_entity: 'admin' }, txn: `txn-${id}`, toe: 1_795_263_000 };
}

for (const mode of MODES) {
  test(`the SDK reads what is pushed in ${mode} mode`, async (t) => {
    const { url, stream, endpoint, publish, secret } = await world(t, { mode });
    await publish([event('evt-1')]);
    const [received] = await endpoint.wait(1);
    assert.equal(received.specversion, '1.0');
    assert.equal(received.type, SESSION_REVOKED);
    assert.equal(received.source, `${url}/streams/${stream.stream_id}`);
    assert.equal(Date.parse(received.time), 1_795_263_000_000);
    assert.equal(received.datacontenttype, 'application/json');
    assert.match(received.sequence, /^\d{20}$/);
    const { sub_id, event: content, txn } = event('evt-1');
    assert.deepEqual(received.data, { sub_id, event: content, txn });
    const [message] = endpoint.messages;
    assert.ok(isSigned(message, secret));
    assert.ok(!isSigned({ ...message, body: `${message.body} ` }, secret), 'a space more is another body');
    assert.equal(message.headers['webhook-id'].length > 0, true);
  });

  test(`the SDK reads control events in ${mode} mode`, async (t) => {
    const { stream, endpoint, api, secret } = await world(t, { mode });
    await api.call('POST', '/ssf/verification', { stream_id: stream.stream_id, state: 'v-1 ü' }, 204);
    const [received] = await endpoint.wait(1);
    assert.equal(received.type, VERIFICATION);
    assert.deepEqual(received.data.event, { state: 'v-1 ü' });
    assert.deepEqual(received.data.sub_id, { format: 'opaque', id: stream.stream_id });
    assert.equal(received.sequence, undefined);
    assert.ok(isSigned(endpoint.messages[0], secret));
  });

  test(`what the SDK publishes the SDK receives, in ${mode} mode`, async (t) => {
    const { url, operator, endpoint } = await world(t, { mode });
    const sent = sessionRevoked('evt-1', TRACE);
    const { headers, body } = HTTP.structured(sent);
    const answer = await fetch(`${url}/events`, { method: 'POST', headers: { ...headers, authorization: operator.authorization }, body });
    assert.equal(answer.status, 202);
    const [received] = await endpoint.wait(1);
    assert.deepEqual(received.data, sent.data);
    assert.equal(Date.parse(received.time), Date.parse(sent.time));
    assert.deepEqual({ traceparent: received.traceparent, tracestate: received.tracestate }, TRACE);
  });

  test(`the SDK sees each event once more when it failed, in ${mode} mode`, async (t) => {
    let requests = 0;
    const { endpoint, publish, operator, stream } = await world(t, { mode }, () => (++requests % 3 === 1 ? 503 : 204));
    const emails = ['a', 'b', 'c', 'd'].map((name) => `${name}@example.com`);
    for (let round = 0; round < 5; round++) await publish(emails.map((email) => event(`${email}-${round}`, email)));
    await eventually('all are delivered', async () => (await operator.call('GET', `/admin/streams/${stream.stream_id}`, undefined, 200)).queued_events === 0);
    const received = endpoint.events();
    const seen = new Map();
    for (const one of received) {
      const before = seen.get(one.id);
      if (before) assert.deepEqual(one, before);
      seen.set(one.id, one);
    }
    assert.equal(seen.size, 20);
    const numbers = [...seen.values()].map((one) => BigInt(one.sequence)).sort((a, b) => (a < b ? -1 : 1));
    numbers.forEach((number, at) => assert.equal(number, numbers[0] + BigInt(at)));
    // In each subject's order.
    for (const email of emails) {
      const rounds = [...seen.values()].filter((one) => one.data.sub_id.email === email).map((one) => one.data.txn);
      assert.deepEqual(rounds, [0, 1, 2, 3, 4].map((round) => `txn-${email}-${round}`));
    }
  });
}

test('the SDK gets a batch as a list, within its bound', async (t) => {
  const { stream, endpoint, publish, api, secret } = await world(t, { mode: 'batched', max_events: 10 });
  const status = (wish) => api.call('POST', '/ssf/status', { stream_id: stream.stream_id, status: wish }, 200);
  await status('paused');
  await publish(Array.from({ length: 25 }, (_, number) => event(`evt-${number}`, `${number}@example.com`)));
  await status('enabled');
  await endpoint.wait(25);
  const sizes = endpoint.messages.map((message) => message.events.length);
  assert.ok(sizes.length <= 6 && sizes.every((size) => size <= 10), String(sizes));
  for (const message of endpoint.messages) assert.ok(isSigned(message, secret));
});

test('both secrets verify while they overlap', async (t) => {
  const { stream, endpoint, publish, operator, secret } = await world(t, { mode: 'structured' });
  const answer = await operator.call('POST', `/admin/streams/${stream.stream_id}/webhook-secret`, { overlap_s: 60 }, 200);
  await publish([event('evt-1')]);
  await endpoint.wait(1);
  for (const known of [secret, answer.secret]) assert.ok(isSigned(endpoint.messages[0], known));
});
