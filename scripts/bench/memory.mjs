// `npm run bench -- memory [STREAMS] [EVENTS]`: many polled streams of one instance, each with many events waiting. What the
// process holds in memory while they fill, and again after a restart, once every stream has been woken.

import fs from 'node:fs';
import os from 'node:os';
import { Failure } from '../lib/run.mjs';
import { createStream } from './api.mjs';
import { withInstance } from './instance.mjs';
import { TYPE, median, perSecond } from './load.mjs';
import { residentMb } from './process.mjs';

const BATCH = 1000;
/** An event as it is stored, about; and how much room there has to be besides. */
const EVENT_BYTES = 400;
const SPARE = 2;
const AT_ONCE = 10;

export async function benchMemory(streams, events) {
  if (!(streams > 0 && events > 0 && events % BATCH === 0)) throw new Failure(`The number of events has to be a multiple of ${BATCH}.`);
  if (residentMb(process.pid) === null) throw new Failure('This needs /proc, which this system does not have.');
  requireDisk(streams * events * EVENT_BYTES * SPARE);
  await withInstance({ OUTBOX_EVENTS: String(events), OUTBOX_BYTES: String(events * EVENT_BYTES * SPARE) }, async ({ start }) => {
    const server = await start();
    const receivers = [];
    for (let n = 0; n < streams; n += 1) receivers.push(await createStream(server.api, server.url, { events_requested: [TYPE] }));
    console.log(`${streams} empty streams: ${mb(server.pid)} resident`);

    const started = performance.now();
    let most = 0;
    for (let from = 0; from < events; from += BATCH) {
      const answer = await server.api('POST', '/events', { events: Array.from({ length: BATCH }, (_, at) => eventOf(from + at)) }, 202);
      if (answer.streams !== streams) throw new Error(`Stored by ${answer.streams} streams: ${JSON.stringify(answer.refused)}`);
      most = Math.max(most, residentMb(server.pid));
    }
    const rate = perSecond(events * streams, performance.now() - started);
    console.log(`each with ${events} events waiting, one publish for all: ${mb(server.pid)} resident, at most ${most.toFixed(0)} MB; ${rate} events/s stored`);
    await server.stop();

    const again = await start();
    console.log(`restarted: ${mb(again.pid)} resident`);
    const rows = [];
    const asleep = [...receivers];
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let next = asleep.pop(); next; next = asleep.pop()) rows.push(await wake(again.api, next, events));
    }));
    console.log(`every stream woken and polled once: ${mb(again.pid)} resident; ${median(rows)} rows read to wake one, at most ${Math.max(...rows)}`);
  });
}

/** Wakes a stream by looking at it, and has it hand out an event. Returns the rows that were read until it was awake. */
async function wake(operator, { receiver, stream }, events) {
  const id = stream.stream_id;
  const health = await operator('GET', `/admin/streams/${id}`, undefined, 200);
  if (health.queued_events !== events) throw new Error(`${health.queued_events} of ${events} events wait.`);
  const { sets } = await receiver('POST', `/ssf/poll/${id}`, { maxEvents: 1, returnImmediately: true }, 200);
  if (Object.keys(sets).length !== 1) throw new Error('A poll was answered without an event.');
  return health.rows_read;
}

/** Small, and without an id of its own. */
const eventOf = (n) => ({ type: TYPE, sub_id: { format: 'opaque', id: `user-${n}` }, event: {} });

const mb = (pid) => `${residentMb(pid).toFixed(0)} MB`;

function requireDisk(bytes) {
  const { bavail, bsize } = fs.statfsSync(os.tmpdir());
  if (bavail * bsize < bytes) {
    throw new Failure(`${os.tmpdir()} has ${Math.round((bavail * bsize) / 1e9)} GB left; this needs ${Math.ceil(bytes / 1e9)} GB. TMPDIR chooses another place.`);
  }
}
