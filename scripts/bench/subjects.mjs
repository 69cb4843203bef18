// What subjects cost: rows read and written per operation in a stream with a thousand and with a million of them, half simple,
// half complex with two members. Rows are exact, whatever the machine.

import { createStream } from './api.mjs';

const TYPE = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
const FEW = 1000;
const BULK = 1000;
const AT_ONCE = 4;

export async function benchSubjects(operator, origin, many) {
  await operator('PATCH', '/admin/tenants/default', { default_subjects: 'NONE', min_verification_interval: 0 }, 200);
  const { receiver, stream } = await createStream(operator, origin, { events_requested: [TYPE] });
  const id = stream.stream_id;
  const costs = [];
  for (const [from, to] of [[0, FEW], [FEW, many]]) {
    const started = performance.now();
    await fill(operator, id, from, to);
    const seconds = (performance.now() - started) / 1000;
    const { database_bytes: bytes } = await operator('GET', `/admin/streams/${id}`, undefined, 200);
    console.log(`${to} subjects: ${(bytes / 1e6).toFixed(1)} MB stored; added ${Math.round((to - from) / seconds)} a second`);
    costs.push(await measure(operator, receiver, id, to));
  }
  console.log(`rows read / written${' '.repeat(37)}${[FEW, many].map((n) => String(n).padStart(12)).join('')}`);
  for (const [at, { what }] of costs[0].entries()) {
    const figures = costs.map((cost) => `${cost[at].read} / ${cost[at].written}`.padStart(12));
    console.log(`  ${what.padEnd(54)}${figures.join('')}`);
  }
}

const email = (n) => ({ format: 'email', email: `user-${n}@example.com` });
const opaque = (id) => ({ format: 'opaque', id });
const complex = (n) => ({ format: 'complex', tenant: opaque(`tenant-${n % 100}`), user: email(n) });

async function fill(operator, id, from, to) {
  const starts = Array.from({ length: Math.ceil((to - from) / BULK) }, (_, at) => from + at * BULK).reverse();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let start = starts.pop(); start !== undefined; start = starts.pop()) {
      const size = Math.min(BULK, to - start);
      const add = Array.from({ length: size }, (_, at) => start + at).map((n) => (n % 2 ? complex(n) : email(n)));
      await operator('POST', `/admin/streams/${id}/subjects`, { add }, 200);
    }
  }));
}

async function measure(operator, receiver, id, size) {
  const rows = async () => {
    const { rows_read: read, rows_written: written } = await operator('GET', `/admin/streams/${id}`, undefined, 200);
    return { read, written };
  };
  // Looking costs rows, too: as many each time.
  const [first, second] = [await rows(), await rows()];
  const looking = second.read - first.read;
  const change = (verb, subject, status) => receiver('POST', `/ssf/subjects/${verb}`, { stream_id: id, subject }, status);
  const publish = (subject) => operator('POST', '/events', { events: [{ type: TYPE, sub_id: subject }] }, 202);
  const steps = [
    ['add a simple subject', () => change('add', email(`new-${size}`), 200)],
    ['add it again', () => change('add', email(`new-${size}`), 200)],
    ['remove it', () => change('remove', email(`new-${size}`), 204)],
    ['add a complex subject of two members', () => change('add', { ...complex(0), user: email(`both-${size}`) }, 200)],
    ['remove it', () => change('remove', { ...complex(0), user: email(`both-${size}`) }, 204)],
    ['event about a simple subject that was added', () => publish(email(0))],
    ['event about a simple subject that was not', () => publish(email('nobody'))],
    ['event about a complex subject that was added', () => publish(complex(1))],
    ['event about one of its members', () => publish({ format: 'complex', tenant: opaque('tenant-1') })],
    ['event about a complex subject that was not', () => publish({ ...complex(1), user: email('nobody') })],
  ];
  const costs = [];
  for (const [what, act] of steps) {
    const before = await rows();
    await act();
    const after = await rows();
    costs.push({ what, read: after.read - before.read - looking, written: after.written - before.written });
  }
  return costs;
}
