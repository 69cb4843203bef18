// What a delivered event takes and costs, in three cases: published in batches, one by one at a steady rate, and each one when
// its stream has come to rest. Rows, requests and alarms are the service's own counters in the real runtime; from outside come the
// processor time (of the whole process: more than the Worker's, which alone is charged) and the time in which objects were
// busy. BENCH_RTT_MS says how long the receiver takes.

import { setTimeout as sleep } from 'node:timers/promises';
import { createStream } from './api.mjs';
import { between, charged, costPerMillion } from './cost.mjs';
import { cpuMs } from './process.mjs';
import { withServer } from './instance.mjs';
import { LINGER_MS, newEvent, published, pushStream } from './load.mjs';
import { startReceiver } from './receiver.mjs';

const RTT_MS = Number(process.env.BENCH_RTT_MS || 5);
/** A run has ended for certain so long after its last answer. */
const AT_REST_MS = LINGER_MS + 500;
/** Where the system does not say how much processor time a process took: as platform.md 2.4. */
const ASSUMED_CPU_MS = 3;

const STREAM_COUNTERS = ['requests', 'alarms', 'alarms_set', 'subrequests', 'rows_read', 'rows_written'];
const TENANT_COUNTERS = ['requests', 'alarms', 'rows_read', 'rows_written'];

/** design.md 9: dollars per million. None takes so long that the tenant's object is put away, and its counters with it. */
const CASES = [
  { name: 'batches of 50', target: 0.45, events: RTT_MS > 50 ? 200 : 2000, batch: 50, run: inBatches },
  { name: 'one by one, 20/s', target: 3.00, events: 300, batch: 1, run: steadily },
  { name: 'each wakes the stream', target: 5.50, events: 20, batch: 1, run: atRest, alone: true },
];

export async function benchCosts() {
  const receiver = await startReceiver({ rttMs: RTT_MS });
  try {
    await withServer({}, async (server) => {
      const { base, api } = await server.tenant({});
      const { stream } = await createStream(api, base, pushStream(receiver.url));
      await published(api, receiver, { events: 100, batch: 50, publishers: 1 });
      await sleep(AT_REST_MS);
      const measured = [];
      for (const one of CASES) measured.push({ ...one, ...await measure(one, server.pid, api, stream.stream_id, receiver) });
      show(measured);
    });
  } finally {
    receiver.close();
  }
}

async function measure({ name, run, events, batch, alone }, pid, api, streamId, receiver) {
  const look = async () => ({
    tenant: pick((await api('GET', '/admin/streams', undefined, 200)).usage, TENANT_COUNTERS),
    stream: pick(await api('GET', `/admin/streams/${streamId}`, undefined, 200), STREAM_COUNTERS),
  });
  // The very first look may find something to do, such as the day's sweep.
  await look();
  const looks = [await look(), await look()];
  const cpuBefore = cpuMs(pid);
  const latencies = [];
  const publish = async (wanted) => {
    const started = performance.now();
    const answer = await api('POST', '/events', wanted, 202);
    latencies.push(performance.now() - started);
    return answer;
  };
  const streamMs = await run((method, where, body) => publish(body), receiver, { events, batch });
  await sleep(AT_REST_MS);
  const cpuAfter = cpuMs(pid);
  looks.push(await look());
  const stream = between(looks.map((look) => look.stream));
  const tenant = between(looks.map((look) => look.tenant));
  if (alone && stream.alarms < events) throw new Error(`${name}: ${stream.alarms} runs for ${events} events: the stream was not at rest.`);
  const publishes = events / batch;
  // The tenant's object is busy for a part of each request; how small a part cannot be seen from outside.
  const activeMs = streamMs + latencies.reduce((sum, ms) => sum + ms, 0);
  const counted = charged({ stream, tenant, publishes, cpuMs: cpuBefore === null ? ASSUMED_CPU_MS * events : cpuAfter - cpuBefore, activeMs });
  return { stream, tenant, publishes, counted, cost: costPerMillion(events, counted) };
}

/** As fast as they are taken. This and the next two return for how long the stream's object was busy, in milliseconds. */
async function inBatches(api, receiver, { events, batch }) {
  const { delivered } = await published(api, receiver, { events, batch, publishers: 4 });
  return delivered + RTT_MS + LINGER_MS;
}

async function steadily(api, receiver, { events }) {
  const every = 1000 / 20;
  const arrived = receiver.expect(events);
  const started = performance.now();
  const answers = [];
  for (let n = 0; n < events; n += 1) {
    await sleep(Math.max(0, started + n * every - performance.now()));
    answers.push(api('POST', '/events', { events: [newEvent()] }));
  }
  await Promise.all(answers);
  return (await arrived) - started + RTT_MS + LINGER_MS;
}

async function atRest(api, receiver, { events }) {
  let busy = 0;
  for (let n = 0; n < events; n += 1) {
    const { delivered } = await published(api, receiver, { events: 1, batch: 1, publishers: 1 });
    // A stream whose events come seldom waits for no more of them.
    busy += delivered + RTT_MS;
    await sleep(AT_REST_MS);
  }
  return busy;
}

function show(cases) {
  const line = (what, of) => console.log(`  ${what.padEnd(46)}${cases.map((one) => String(of(one)).padStart(23)).join('')}`);
  const each = (what, of) => line(what, (one) => (of(one) / one.events).toFixed(3));
  const dollars = (what, unit) => line(what, (one) => one.cost.byUnit[unit].toFixed(3));
  console.log(`per delivered event, receiver ${RTT_MS} ms away:`);
  line('', ({ name }) => name);
  each('rows written by the stream, alarms not counted', ({ stream }) => stream.rows_written);
  each('alarms set, one row each', ({ stream }) => stream.alarms_set);
  each('later: its chunk deleted, one row per request', ({ publishes }) => publishes);
  each('rows written by the tenant', ({ tenant }) => tenant.rows_written);
  each('rows read', ({ counted }) => counted.rowsRead);
  each('requests to the tenant', ({ tenant }) => tenant.requests + tenant.alarms);
  each('requests to the stream', ({ stream }) => stream.requests);
  each('alarms run', ({ stream }) => stream.alarms);
  each('subrequests', ({ stream }) => stream.subrequests);
  each('ms in which an object is busy (1)', ({ counted }) => counted.objectSeconds * 1000);
  each('ms of processor (2)', ({ counted }) => counted.workerCpuMs);
  console.log('dollars per million delivered events, at list prices:');
  dollars('requests to the Worker, one per publish request', 'workerRequests');
  dollars('processor', 'workerCpuMs');
  dollars('requests to objects, and alarms', 'objectRequests');
  dollars('objects busy', 'objectSeconds');
  dollars('rows written', 'rowsWritten');
  dollars('rows read', 'rowsRead');
  line('in all', ({ cost }) => cost.total.toFixed(2));
  line('target: at most', ({ target }) => target.toFixed(2));
  console.log(`(1) The stream: from publishing to the last answer of a run, and ${LINGER_MS} ms for which a run waits for more where events come fast. The tenant: all of each publish request.`);
  console.log('(2) Of the whole process, objects included, whose processor time is not charged. Publishing is by the operator\'s token: with one of a client add what reading a key from KV costs.');
}

const pick = (counters, names) => Object.fromEntries(names.map((name) => [name, counters[name] ?? 0]));
