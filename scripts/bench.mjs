// `npm run bench`: how fast the release build on plain workerd takes events in and pushes them to one receiver on
// loopback. Prints its figures and exits. They are of this machine: compare them only with others from it.
// `npm run bench -- subjects [N]`: what a stream with N subjects (a million) costs, in rows, which are exact.

import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { main } from './lib/run.mjs';
import { serve } from './serve.mjs';
import { newSecret } from './serve/settings.mjs';
import { apiOf, createStream } from './bench/api.mjs';
import { benchSubjects } from './bench/subjects.mjs';

const TYPE = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
/** What is published: so many events, in batches of that size, by so many publishers at once. */
const RUNS = [
  { events: 500, batch: 1, publishers: 4 },
  { events: 5000, batch: 50, publishers: 4 },
];
const SINGLE_EVENTS = 50;
const PATIENCE_MS = 120_000;

await main(async () => {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'heliograph-bench-'));
  const token = newSecret();
  const receiver = await startReceiver();
  const server = await serve({
    ...process.env, PORT: '0', DATA_DIR: dataDir, ADMIN_TOKEN: token, KEY_ENCRYPTION_KEY: newSecret(), ALLOW_LOOPBACK: '1', PUBLIC_URL: '',
  });
  try {
    const api = apiOf(server.url, token);
    if (process.argv[2] === 'subjects') {
      await benchSubjects(api, server.url, Number(process.argv[3] ?? 1_000_000));
      return;
    }
    await createStream(api, server.url, {
      delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: receiver.url }, events_requested: [TYPE],
    });
    await published(api, receiver, { events: 20, batch: 1, publishers: 1 });
    for (const run of RUNS) {
      const { accepted, delivered } = await published(api, receiver, run);
      console.log(`batches of ${String(run.batch).padStart(2)}: ${rate(run.events, accepted)} accepted, ${rate(run.events, delivered)} delivered`);
    }
    const times = [];
    for (let n = 0; n < SINGLE_EVENTS; n += 1) times.push((await published(api, receiver, { events: 1, batch: 1, publishers: 1 })).sinceAccepted);
    times.sort((a, b) => a - b);
    console.log(`accepted to received, idle stream: median ${times[SINGLE_EVENTS >> 1].toFixed(1)} ms, worst of ${SINGLE_EVENTS} ${times.at(-1).toFixed(1)} ms`);
  } finally {
    await server.stop();
    receiver.close();
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
});

/** Publishes and waits until everything arrived. Returns milliseconds. */
async function published(api, receiver, { events, batch, publishers }) {
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

function newEvent() {
  const id = randomUUID();
  return { id, type: TYPE, sub_id: { format: 'email', email: `${id}@example.com` }, event: { event_timestamp: Math.floor(Date.now() / 1000) } };
}

/** Accepts every push. `expect(n)` resolves to the time at which the nth push from now arrived. */
async function startReceiver() {
  let left = 0;
  let done = null;
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(202).end();
      left -= 1;
      if (left === 0) done(performance.now());
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/events`,
    expect: (count) => new Promise((resolve, reject) => {
      const patience = setTimeout(() => reject(new Error(`${left} of ${count} events did not arrive within ${PATIENCE_MS / 1000} s`)), PATIENCE_MS);
      left = count;
      done = (at) => { clearTimeout(patience); resolve(at); };
    }),
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

function rate(events, ms) {
  return `${Math.round(events / (ms / 1000))} events/s`;
}
