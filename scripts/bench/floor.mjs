// `npm run bench -- floor`: how close to the platform's own speed the service comes. A bare JavaScript Worker (floor-worker.js)
// and the service do the same store-and-forward on the same workerd, in turns, so that what else the machine does meets both.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { parse as parseToml } from 'smol-toml';
import { inRoot } from '../lib/paths.mjs';
import { front } from '../serve/config.mjs';
import { startWorkerd } from '../serve/workerd.mjs';
import { apiOf, createStream } from './api.mjs';
import { cpuMs } from './process.mjs';
import { newFolder, withServer } from './instance.mjs';
import { median, perSecond, published, pushStream } from './load.mjs';
import { startReceiver } from './receiver.mjs';

/** design.md 9. */
const TARGET = 0.8;
const LOAD = { events: 5000, batch: 50, publishers: 4 };
const WARM_UP = { events: 1000, batch: 50, publishers: 4 };

export async function benchFloor(rounds) {
  const receiver = await startReceiver();
  const floor = await startFloor('floor-worker.js', { RECEIVER: receiver.url });
  try {
    await withServer({}, async (server) => {
      for (const alg of ['RS256', 'ES256']) await compare(alg, rounds, floor, server, receiver);
    });
  } finally {
    await floor.stop();
    receiver.close();
  }
}

async function compare(alg, rounds, floor, server, receiver) {
  const { base, api } = await server.tenant({ signing_alg: alg });
  await createStream(api, base, pushStream(receiver.url));
  const sides = [
    { name: 'floor', api: apiOf(`${floor.url}/${alg}`, ''), pid: floor.pid, rates: [], cpu: [] },
    { name: 'heliograph', api, pid: server.pid, rates: [], cpu: [] },
  ];
  for (const side of sides) await published(side.api, receiver, WARM_UP);
  for (let round = 0; round < rounds; round += 1) {
    for (const side of sides) {
      const before = cpuMs(side.pid);
      const { delivered } = await published(side.api, receiver, LOAD);
      side.rates.push(perSecond(LOAD.events, delivered));
      if (before !== null) side.cpu.push((cpuMs(side.pid) - before) / LOAD.events);
    }
  }
  for (const { name, rates, cpu } of sides) {
    const processor = cpu.length > 0 ? `; ${median(cpu).toFixed(2)} ms of processor an event` : '';
    console.log(`${alg} ${name.padEnd(10)} ${String(median(rates)).padStart(5)} events/s, median of ${rates.join(' ')}${processor}`);
  }
  const [bare, ours] = sides;
  const ratio = median(bare.rates.map((rate, round) => ours.rates[round] / rate));
  console.log(`${alg} ratio      ${ratio.toFixed(2)}, median over the rounds (target: at least ${TARGET.toFixed(2)})`);
}

/** Starts a bare Worker of this folder, with these texts as its bindings, maybe behind the front door that ours has. Returns `{ url, pid, stop() }`. */
export async function startFloor(worker, texts, { behindFront = false } = {}) {
  const folder = newFolder();
  fs.mkdirSync(path.join(folder, 'objects'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const config = path.join(folder, 'config.capnp');
  fs.copyFileSync(inRoot('scripts/bench', worker), path.join(folder, 'worker.js'));
  fs.writeFileSync(config, configOf(folder, port, texts, behindFront));
  const workerd = await startWorkerd({ config, url, env: {} });
  return { url, pid: workerd.pid, stop: async () => { await workerd.stop(); fs.rmSync(folder, { recursive: true, force: true }); } };
}

/** As scripts/serve/config.mjs has it, with one Worker and one object class. */
function configOf(folder, port, texts, behindFront) {
  const wrangler = parseToml(fs.readFileSync(inRoot('wrangler.toml'), 'utf8'));
  const compatibility = `compatibilityDate = "${wrangler.compatibility_date}"`;
  const embed = (file) => `embed ${text(path.relative(fs.realpathSync(folder), fs.realpathSync(inRoot(file))))}`;
  const text = JSON.stringify;
  const bindings = Object.entries(texts).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`);
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "front", worker = .front),
    (name = "www", disk = (path = ${text(fs.realpathSync(inRoot(wrangler.assets.directory)))})),
    (name = "objects", disk = (path = ${text(path.join(folder, 'objects'))}, writable = true)),
    (name = "internet", network = (allow = ["public", "local"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = ${text(`127.0.0.1:${port}`)}, http = (), service = "${behindFront ? 'front' : 'main'}")],
);

const main :Workerd.Worker = (
  ${compatibility},
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  durableObjectNamespaces = [(className = "Floor", uniqueKey = "floor", enableSql = true)],
  durableObjectStorage = (localDisk = "objects"),
  bindings = [(name = "FLOOR", durableObjectNamespace = "Floor"), ${bindings.join(', ')}],
);

${front(compatibility, embed, wrangler)}`;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
