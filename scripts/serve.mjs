// `npm run serve`: the release build on plain workerd, for self-hosting, tests and benchmarks. All settings come from the
// environment and reach the Worker that way too; no secret is written to disk.
//
//   PORT (8787), ADDRESS (127.0.0.1), DATA_DIR (.data), PUBLIC_URL (http://localhost:PORT), ADMIN_TOKEN,
//   KEY_ENCRYPTION_KEY (required), ALLOW_LOOPBACK=1, and every setting of src/edge/settings.json

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from './build.mjs';
import { inRoot } from './lib/paths.mjs';
import { Failure, main } from './lib/run.mjs';
import { note } from './lib/step.mjs';
import { checkEncryptionKey, settingsIn } from './serve/settings.mjs';
import { claimDataDir } from './serve/claim.mjs';

/** Starts serving under the settings of `env`. Returns `{ url, exited, stop() }`. `profile` chooses the build, `log` may ignore what it logs. */
export async function serve(env, profile = 'release', log = 'inherit') {
  const address = env.ADDRESS || '127.0.0.1';
  checkEncryptionKey(env.KEY_ENCRYPTION_KEY);
  // Only here: both need the npm packages.
  const directory = await build(profile);
  const { writeConfig } = await import('./serve/config.mjs');
  const { startWorkerd } = await import('./serve/workerd.mjs');

  const port = await freePort(address, Number(env.PORT || 8787));
  const publicUrl = env.PUBLIC_URL || `http://localhost:${port}`;
  const settings = { ...env, PUBLIC_URL: publicUrl };
  if (!env.ADMIN_TOKEN) note('ADMIN_TOKEN is not set: the operator\'s API is closed');

  const dataDir = path.resolve(inRoot(), env.DATA_DIR || '.data');
  fs.mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const claim = claimDataDir(dataDir);
  // The name in the URL stays out of it: the Worker answers /console.json on any host.
  const local = `http://${address === '0.0.0.0' ? '127.0.0.1' : address.includes(':') ? '[::1]' : address}:${port}`;
  const config = writeConfig({ dataDir, port, address, build: directory, env: settingsIn(settings), loopback: env.ALLOW_LOOPBACK === '1' });
  const workerd = await startWorkerd({ config, url: local, env: settings, log });
  claim.heldBy(workerd.pid);
  return { url: publicUrl, local, exited: workerd.exited, stop: async () => { await workerd.stop(); claim.release(); } };
}

/** The port to listen on: the wished one if nobody has it, any free one for 0. */
function freePort(address, wished) {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', (error) => reject(new Failure(
      error.code === 'EADDRINUSE' ? `Port ${wished} is in use. Choose another: PORT=8788 npm run serve` : `Cannot listen on ${address}:${wished}: ${error.message}`)));
    probe.listen(wished, address, () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    const server = await serve(process.env, process.env.HELIOGRAPH_PROFILE || 'release');
    let stopping = false;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(signal, () => { stopping = true; void server.stop(); });
    }
    console.log(`ready at ${server.url}`);
    const how = await server.exited;
    if (!stopping) throw new Failure(`workerd ${how}`);
  });
}
