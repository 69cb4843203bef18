// `npm run bench -- receive`: how fast SETs are taken in. By push beside a bare JavaScript Worker on the same workerd, behind the
// same front door, in turns; by poll from the instance itself, which signs them too.

import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { startFloor } from './floor.mjs';
import { withServer } from './instance.mjs';
import { TYPE, median, newEvent, perSecond } from './load.mjs';
import { cpuMs } from './process.mjs';

/** design.md 9. */
const TARGET = 0.6;
const LOAD = 3000;
const WARM_UP = 500;
const SENDERS = 8;
const POLLED = 5000;
const ISSUER = 'https://tx.example';
const AUDIENCE = 'https://bench.example';

export async function benchReceive(rounds) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'bench' };
  const floor = await startFloor('receive-worker.js', { KEY: JSON.stringify(jwk) }, { behindFront: true });
  try {
    await withServer({}, async (server) => {
      await benchPush(rounds, floor, server, jwk, privateKey);
      await benchPoll(server);
    });
  } finally {
    await floor.stop();
  }
}

async function benchPush(rounds, floor, server, jwk, privateKey) {
  const source = await server.api('POST', '/admin/sources', { issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [jwk] } }, 201);
  const sides = [
    { name: 'verify', url: `${floor.url}/receive/verify`, pid: floor.pid },
    { name: 'verify and store', url: `${floor.url}/receive/store`, pid: floor.pid },
    { name: 'heliograph', url: source.receive_url, pid: server.pid, authorization: source.authorization_header },
  ].map((side) => ({ ...side, rates: [], cpu: [] }));
  const sets = (many) => Array.from({ length: many }, () => newSet(privateKey));
  for (const side of sides) await pushed(side, sets(WARM_UP));
  for (let round = 0; round < rounds; round += 1) {
    for (const side of sides) {
      const ready = sets(LOAD);
      const before = cpuMs(side.pid);
      const started = performance.now();
      await pushed(side, ready);
      side.rates.push(perSecond(LOAD, performance.now() - started));
      if (before !== null) side.cpu.push((cpuMs(side.pid) - before) / LOAD);
    }
  }
  for (const { name, rates, cpu } of sides) {
    const processor = cpu.length > 0 ? `; ${median(cpu).toFixed(2)} ms of processor a SET` : '';
    console.log(`pushed, ${name.padEnd(16)} ${String(median(rates)).padStart(5)} SETs/s, median of ${rates.join(' ')}${processor}`);
  }
  const [verifies, stores, ours] = sides;
  const ratio = (bare) => median(bare.rates.map((rate, round) => ours.rates[round] / rate)).toFixed(2);
  console.log(`pushed, ratio: ${ratio(verifies)} of a Worker that only verifies (target: at least ${TARGET.toFixed(2)}), ${ratio(stores)} of one that stores, too`);
}

/** A source of the instance that polls the instance. */
async function benchPoll({ url, api }) {
  const client = await api('POST', '/admin/clients', { client_name: 'Bench', scope: 'ssf.read ssf.manage', audience: AUDIENCE }, 201);
  const { source_id: id } = await api('POST', '/admin/sources', {
    issuer: url, audience: AUDIENCE, delivery: 'poll', credentials: { client_id: client.client_id, client_secret: client.client_secret },
  }, 201);
  const { state } = await api('GET', `/admin/sources/${id}/setup?wait=25`, undefined, 200);
  if (state !== 'done') throw new Error(`The set-up of a polling source is ${state}.`);
  const received = async () => (await api('GET', `/admin/sources/${id}/health`, undefined, 200)).received;
  const before = await received();
  const started = performance.now();
  for (let left = POLLED; left > 0; left -= 50) await api('POST', '/events', { events: Array.from({ length: 50 }, newEvent) }, 202);
  while (await received() < before + POLLED) await sleep(20);
  console.log(`polled, from the instance itself: ${perSecond(POLLED, performance.now() - started)} events/s published, signed, polled, verified and stored`);
}

/** Sends these, by so many senders at once, each over a connection that stays open. */
async function pushed({ url, authorization }, sets) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: SENDERS });
  const headers = { 'content-type': 'application/secevent+jwt', accept: 'application/json', ...(authorization && { authorization }) };
  const send = (set) => new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'POST', agent, headers: { ...headers, 'content-length': set.length } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk) => { text += chunk; }).on('end', () => {
        if (answer.statusCode === 202) resolve();
        else reject(new Error(`a push was answered ${answer.statusCode} ${text}`));
      });
    });
    request.on('error', reject).end(set);
  });
  await Promise.all(Array.from({ length: SENDERS }, async () => {
    for (let set = sets.pop(); set; set = sets.pop()) await send(set);
  }));
  agent.destroy();
}

function newSet(privateKey) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const { sub_id, event } = newEvent();
  const claims = { iss: ISSUER, iat: Math.floor(Date.now() / 1000), jti: randomUUID(), aud: AUDIENCE, sub_id, events: { [TYPE]: event } };
  const input = `${part({ alg: 'RS256', typ: 'secevent+jwt', kid: 'bench' })}.${part(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
}
