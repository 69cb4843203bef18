// What is published, and how.

import { randomUUID } from 'node:crypto';

export const TYPE = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';

/** A run waits so long for more after its last push: the setting's default. */
export const LINGER_MS = Number(process.env.LINGER_MS || 200);

/** An event about a subject that no other event is about. */
export function newEvent() {
  const id = randomUUID();
  return { id, type: TYPE, sub_id: { format: 'email', email: `${id}@example.com` }, event: { event_timestamp: Math.floor(Date.now() / 1000) } };
}

/**
 * Publishes so many events in batches of that size by so many publishers at once, and waits until everything arrived. Returns
 * milliseconds: from the first request to the last answer, to the last push, and from the one to the other.
 */
export async function published(api, receiver, { events, batch, publishers }) {
  const arrived = receiver.expect(events);
  const batches = Array.from({ length: events / batch }, () => Array.from({ length: batch }, newEvent));
  const started = performance.now();
  await Promise.all(Array.from({ length: publishers }, async () => {
    for (let next = batches.pop(); next; next = batches.pop()) await api('POST', '/events', { events: next }, 202);
  }));
  const accepted = performance.now();
  const received = await arrived;
  return { accepted: accepted - started, delivered: received - started, sinceAccepted: Math.max(0, received - accepted) };
}

/** What a receiver asks for: everything of `TYPE`, pushed to this endpoint. */
export const pushStream = (endpoint) => ({
  delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: endpoint }, events_requested: [TYPE],
});

export const perSecond = (events, ms) => Math.round(events / (ms / 1000));

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
