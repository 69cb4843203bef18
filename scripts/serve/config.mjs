// Writes the configuration on which plain workerd runs a build of the Worker: the three object classes on a local disk,
// KV by a Worker of its own, static files by another. Names, flags and patterns come from wrangler.toml.
//
//   node scripts/serve/config.mjs --data-dir D --port P [--address 127.0.0.1] [--build build/release]
//     [--set NAME=VALUE ...]    a setting, written into the configuration
//     [--env NAME ...]          a setting or secret that workerd reads from its own environment when it starts
//     [--kv-stale-ms N]         KV serves old values for this long after a write
//     [--kv-slow-ms N]          a write to KV takes so long
// prints the path of the configuration, to be run as: workerd serve PATH --experimental

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { parse as parseToml } from 'smol-toml';
import { inRoot } from '../lib/paths.mjs';
import { Failure, main } from '../lib/run.mjs';

/** Writes `<dataDir>/config.capnp` and returns its path. `set` is `{ NAME: value }`, `env` a list of names, `loopback` whether the Worker may reach this machine. */
export function writeConfig({ dataDir, port, address = '127.0.0.1', build = 'build/release', set = {}, env = [], loopback = set.ALLOW_LOOPBACK === '1', kvStaleMs, kvSlowMs }) {
  const wrangler = parseToml(fs.readFileSync(inRoot('wrangler.toml'), 'utf8'));
  // Real paths: the configuration names other files relative to itself, and must not step through symbolic links.
  fs.mkdirSync(dataDir, { recursive: true });
  const data = fs.realpathSync(dataDir);
  for (const store of ['objects', 'kv']) fs.mkdirSync(path.join(data, store), { recursive: true });

  const classes = wrangler.durable_objects.bindings;
  const keys = uniqueKeys(data, [...classes.map((binding) => binding.class_name), 'KvStore']);
  const embed = (file) => `embed ${text(path.relative(data, fs.realpathSync(inRoot(file))))}`;
  const bindings = [
    ...classes.map(({ name, class_name }) => `(name = ${text(name)}, durableObjectNamespace = ${text(class_name)})`),
    ...wrangler.kv_namespaces.map(({ binding }) => `(name = ${text(binding)}, kvNamespace = "kv")`),
    ...Object.entries(set).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`),
    ...env.map((name) => `(name = ${text(name)}, fromEnvironment = ${text(name)})`),
  ];
  const compatibility = `compatibilityDate = ${text(wrangler.compatibility_date)}`;

  const config = `# Written by scripts/serve/config.mjs; changes are lost at the next start.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "front", worker = .front),
    (name = "main", worker = .main),
    (name = "kv", worker = .kv),
    (name = "objects", disk = (path = ${text(path.join(data, 'objects'))}, writable = true)),
    (name = "kv-disk", disk = (path = ${text(path.join(data, 'kv'))}, writable = true)),
    (name = "www", disk = (path = ${text(fs.realpathSync(inRoot(wrangler.assets.directory)))})),
    # Private networks are out of reach; loopback too, unless ALLOW_LOOPBACK=1.
    (name = "internet", network = (
      allow = [${loopback ? '"public", "local"' : '"public"'}],
      tlsOptions = (trustBrowserCas = true),
    )),
  ],
  sockets = [(
    name = "http",
    address = ${text(`${address.includes(':') ? `[${address}]` : address}:${port}`)},
    # Behind a proxy that ends TLS, the Worker sees the scheme that the client used.
    http = (forwardedProtoHeader = "X-Forwarded-Proto"),
    service = "front",
  )],
);

const main :Workerd.Worker = (
  ${compatibility},
  compatibilityFlags = [${wrangler.compatibility_flags.map(text).join(', ')}],
  modules = [
    (name = "index.js", esModule = ${embed(`${build}/index.js`)}),
    (name = "index_bg.wasm", wasm = ${embed(`${build}/index_bg.wasm`)}),
  ],
  durableObjectNamespaces = [
    ${classes.map(({ class_name }) => `(className = ${text(class_name)}, uniqueKey = ${text(keys[class_name])}, enableSql = true),`).join('\n    ')}
  ],
  durableObjectStorage = (localDisk = "objects"),
  bindings = [
    ${bindings.join(',\n    ')},
  ],
);

const kv :Workerd.Worker = (
  ${compatibility},
  modules = [(name = "kv-worker.js", esModule = ${embed('scripts/serve/kv-worker.js')})],
  durableObjectNamespaces = [(className = "KvStore", uniqueKey = ${text(keys.KvStore)}, enableSql = true)],
  durableObjectStorage = (localDisk = "kv-disk"),
  bindings = [
    (name = "STORE", durableObjectNamespace = "KvStore"),
    (name = "STALE_MS", text = ${text(String(kvStaleMs ?? 0))}),
    (name = "SLOW_MS", text = ${text(String(kvSlowMs ?? 0))}),
  ],
);

${front(compatibility, embed, wrangler)}`;
  const file = path.join(data, 'config.capnp');
  fs.writeFileSync(file, config, { mode: 0o600 });
  return file;
}

/** The front door, to the services `main` and `www`. `embed(file)` is how a file of the checkout is named in the configuration. */
export const front = (compatibility, embed, wrangler) => `const front :Workerd.Worker = (
  ${compatibility},
  modules = [
    (name = "assets-worker.js", esModule = ${embed('scripts/serve/assets-worker.js')}),
    (name = "headers-file.js", esModule = ${embed('scripts/serve/headers-file.js')}),
  ],
  bindings = [
    (name = "MAIN", service = "main"),
    (name = "WWW", service = "www"),
    (name = "WORKER_FIRST", json = ${text(JSON.stringify(wrangler.assets.run_worker_first))}),
  ],
);
`;

/**
 * The secret key of each object class, from which its object ids are derived: made once and kept with the data. Without
 * them the stored objects cannot be found again.
 */
function uniqueKeys(data, classes) {
  const file = path.join(data, 'object-keys.json');
  const keys = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {};
  const missing = classes.filter((name) => !keys[name]);
  if (missing.length > 0) {
    for (const name of missing) keys[name] = `${name}-${randomBytes(16).toString('hex')}`;
    // Complete or not at all: half a file would lose the data.
    fs.writeFileSync(`${file}.new`, JSON.stringify(keys, null, 2), { mode: 0o600, flush: true });
    fs.renameSync(`${file}.new`, file);
  }
  return keys;
}

/** A Cap'n Proto text literal. */
function text(value) {
  if (/[\0-\x1f\x7f]/.test(value)) throw new Failure(`A control character in the configuration: ${JSON.stringify(value)}`);
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(() => {
    const { values } = parseArgs({
      options: {
        'data-dir': { type: 'string' },
        port: { type: 'string' },
        address: { type: 'string' },
        build: { type: 'string' },
        set: { type: 'string', multiple: true, default: [] },
        env: { type: 'string', multiple: true, default: [] },
        'kv-stale-ms': { type: 'string' },
        'kv-slow-ms': { type: 'string' },
      },
    });
    if (!values['data-dir'] || !values.port) throw new Failure('--data-dir and --port are needed.');
    const set = Object.fromEntries(values.set.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
    console.log(writeConfig({
      dataDir: values['data-dir'], port: values.port, address: values.address, build: values.build,
      set, env: values.env, loopback: (set.ALLOW_LOOPBACK ?? (values.env.includes('ALLOW_LOOPBACK') && process.env.ALLOW_LOOPBACK)) === '1',
      kvStaleMs: values['kv-stale-ms'], kvSlowMs: values['kv-slow-ms'],
    }));
  });
}
