// `npm run bench -- lanes`: many subjects on one stream whose receiver fails now and then. A failure holds its own subject only,
// and each subject's events are taken in the order in which they were published.

import { createStream } from './api.mjs';
import { withServer } from './instance.mjs';
import { TYPE, pushStream } from './load.mjs';
import { startReceiver } from './receiver.mjs';

const EVENTS = 4000;
const SUBJECTS = 20;
const BATCH = 50;
const FAILING = 0.1;
const RTT_MS = 5;
/** design.md 9. */
const TARGET_S = 60;

export async function benchLanes() {
  const seen = { pushes: 0, failed: 0, again: 0, outOfOrder: 0 };
  /** The number of the last event that each subject's deliveries have come to. */
  const last = new Map();
  const answer = (set) => {
    const { subject, n } = JSON.parse(JSON.parse(Buffer.from(set.split('.')[1], 'base64url')).txn);
    seen.pushes += 1;
    const before = last.get(subject) ?? -1;
    if (n <= before) {
      // It was delivered before: to be counted, not to be expected.
      seen.again += 1;
      return 200;
    }
    if (Math.random() < FAILING) {
      seen.failed += 1;
      return 500;
    }
    if (n !== before + 1) seen.outOfOrder += 1;
    last.set(subject, n);
    return 202;
  };
  const receiver = await startReceiver({ rttMs: RTT_MS, answer });
  try {
    await withServer({}, async ({ url, api }) => {
      await createStream(api, url, pushStream(receiver.url));
      const arrived = receiver.expect(EVENTS);
      const started = performance.now();
      for (let from = 0; from < EVENTS; from += BATCH) {
        await api('POST', '/events', { events: Array.from({ length: BATCH }, (_, at) => eventOf(from + at)) }, 202);
      }
      const seconds = ((await arrived) - started) / 1000;
      console.log(`${EVENTS} events of ${SUBJECTS} subjects, ${FAILING * 100} % of the pushes fail, ${RTT_MS} ms away: all delivered in ${seconds.toFixed(1)} s (target: ${TARGET_S} s)`);
      console.log(`${seen.pushes} pushes, ${seen.failed} of them failed, ${seen.again} repeated a delivered event, ${seen.outOfOrder} overtook one of the same subject`);
      if (seen.outOfOrder > 0) throw new Error('Deliveries were out of order.');
      // Each failure is a line in its log.
    }, 'ignore');
  } finally {
    receiver.close();
  }
}

function eventOf(at) {
  const subject = `user-${at % SUBJECTS}@example.com`;
  const txn = JSON.stringify({ subject, n: Math.floor(at / SUBJECTS) });
  return { id: `lanes-${at}`, type: TYPE, sub_id: { format: 'email', email: subject }, event: {}, txn };
}
