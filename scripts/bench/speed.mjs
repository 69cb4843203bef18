// How fast events are taken in, pushed to one receiver on loopback, and handed to a poll that waits.

import { setTimeout as sleep } from 'node:timers/promises';
import { createStream } from './api.mjs';
import { withServer } from './instance.mjs';
import { LINGER_MS, TYPE, median, newEvent, perSecond, published, pushStream } from './load.mjs';
import { startReceiver } from './receiver.mjs';

const RUNS = [
  { events: 500, batch: 1, publishers: 4 },
  { events: 5000, batch: 50, publishers: 4 },
];
const ONE = { events: 1, batch: 1, publishers: 1 };
const SINGLE_EVENTS = 50;
/** Between two of them, so that each finds the stream at rest. */
const PAUSE_MS = LINGER_MS + 100;
/** design.md 9. */
const TARGET_MS = 15;
/** A held poll is answered so soon after an event was accepted. */
const POLL_TARGET_MS = 20;

export async function benchSpeed() {
  const receiver = await startReceiver();
  try {
    await withServer({}, async ({ url, api }) => {
      await createStream(api, url, pushStream(receiver.url));
      await published(api, receiver, { events: 20, batch: 1, publishers: 1 });
      for (const run of RUNS) {
        const { accepted, delivered } = await published(api, receiver, run);
        const rates = `${perSecond(run.events, accepted)} events/s accepted, ${perSecond(run.events, delivered)} events/s delivered`;
        console.log(`batches of ${String(run.batch).padStart(2)}: ${rates}`);
      }
      const times = [];
      for (let n = 0; n < SINGLE_EVENTS; n += 1) {
        await sleep(PAUSE_MS);
        times.push(await published(api, receiver, ONE));
      }
      const accepted = times.map(({ sinceAccepted }) => sinceAccepted);
      const sent = times.map(({ delivered }) => delivered);
      console.log(`accepted to received, idle stream: median ${median(accepted).toFixed(1)} ms, worst of ${SINGLE_EVENTS} ${Math.max(...accepted).toFixed(1)} ms (target: median under ${TARGET_MS} ms); from the request on: median ${median(sent).toFixed(1)} ms`);
    });
    await withServer({}, benchHeldPoll);
  } finally {
    receiver.close();
  }
}

/** How long after the publisher's 202 a poll is answered that was held before. */
async function benchHeldPoll({ url, api }) {
  const { receiver, stream } = await createStream(api, url, { events_requested: [TYPE] });
  const poll = (ack) => receiver('POST', `/ssf/poll/${stream.stream_id}`, { ack }, 200);
  const times = [];
  let ack = [];
  for (let n = 0; n <= SINGLE_EVENTS; n += 1) {
    const answered = poll(ack).then(({ sets }) => ({ at: performance.now(), jtis: Object.keys(sets) }));
    await sleep(50);
    await api('POST', '/events', { events: [newEvent()] }, 202);
    const accepted = performance.now();
    const { at, jtis } = await answered;
    ack = jtis;
    // The first one has the keys made.
    if (n > 0) times.push(Math.max(0, at - accepted));
  }
  console.log(`accepted to answer of a held poll: median ${median(times).toFixed(1)} ms, worst of ${SINGLE_EVENTS} ${Math.max(...times).toFixed(1)} ms (target: under ${POLL_TARGET_MS} ms)`);
}
