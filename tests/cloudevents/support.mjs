// What the tests with the CloudEvents SDK need: the Worker on plain workerd, a client of its API, and an endpoint that hands
// everything it is pushed to the SDK.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import { CloudEvent, HTTP } from 'cloudevents';
import { eventually, registeredReceiver, startWorker } from '../worker.mjs';

export { eventually };

export const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
export const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification';
const PUSH = 'urn:ietf:rfc:8935';
const POLL = 'urn:ietf:rfc:8936';

/** Starts the Worker. Returns `{ url, operator, receiver() }`; it ends with the test. */
export async function worker(t) {
  const { url, operator } = await startWorker(t);
  return { url, operator, receiver: (endpoints = []) => receiver(url, operator, endpoints) };
}

/** A registered receiver. Its streams are pushed CloudEvents in a mode, or polled as SETs. */
async function receiver(url, operator, endpoints) {
  const api = await registeredReceiver(url, operator, endpoints);
  return {
    api,
    pushed: (endpoint_url, cloudevents) => api.call('POST', '/ssf/streams', { delivery: { method: PUSH, endpoint_url, cloudevents } }, 201),
    polled: async () => {
      const { stream_id } = await api.call('POST', '/ssf/streams', { delivery: { method: POLL } }, 201);
      // Everything that waits: the claims of the SETs, by their `txn`; a poll hands them out in no order.
      return async () => {
        const { sets } = await api.call('POST', `/ssf/poll/${stream_id}`, { returnImmediately: true, maxEvents: 1000 }, 200);
        const claims = Object.values(sets).map((set) => JSON.parse(Buffer.from(set.split('.')[1], 'base64url')));
        return claims.sort((a, b) => (a.txn < b.txn ? -1 : 1));
      };
    },
  };
}

/**
 * An endpoint whose owner uses the SDK. `answer(events)` chooses the status, 204 by default. Returns
 * `{ url, messages, events(), wait(count) }`: what came, as the SDK has it.
 */
export async function sdkEndpoint(t, answer = () => 204) {
  const messages = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const message = { headers: request.headers, body: Buffer.concat(chunks).toString() };
      let events = [];
      try {
        assert.ok(HTTP.isEvent(message), 'the SDK takes it for a CloudEvent');
        events = [HTTP.toEvent(message)].flat();
        for (const event of events) assert.ok(event.validate());
      } catch (error) {
        message.error = error;
      }
      messages.push({ ...message, events });
      response.writeHead(answer(events)).end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.closeAllConnections(); server.close(); });
  const events = () => {
    for (const { error } of messages) if (error) throw error;
    return messages.flatMap((message) => message.events);
  };
  const wait = (count) => eventually(`${count} events arrive`, () => (events().length >= count ? events() : null));
  return { url: `http://127.0.0.1:${server.address().port}/`, messages, events, wait };
}

/** Whether a message carries a signature made with this secret (Standard Webhooks). */
export function isSigned({ headers, body }, secret) {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const mac = createHmac('sha256', key).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`).digest('base64');
  return headers['webhook-signature'].split(' ').includes(`v1,${mac}`);
}

/** A session-revoked event as the SDK makes it. */
export function sessionRevoked(id, more = {}) {
  return new CloudEvent({
    id,
    source: 'https://idp.example.com/tenants/9',
    type: SESSION_REVOKED,
    time: '2026-11-21T12:10:00Z',
    datacontenttype: 'application/json',
    data: { sub_id: { format: 'email', email: 'ana@example.com' }, event: { initiating_entity: 'admin' }, txn: `txn-${id}` },
    ...more,
  });
}
