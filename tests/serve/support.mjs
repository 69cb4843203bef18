// A workerd that runs a Worker which stands in for ours (fixture-worker.js), with the real assets and KV around it.

import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { writeConfig } from '../../scripts/serve/config.mjs';
import { startWorkerd } from '../../scripts/serve/workerd.mjs';

/** The smallest wasm module there is. */
const EMPTY_WASM = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

/** A folder that is removed when the test ends. */
export function temporaryFolder(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'heliograph-serve-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts the stand-in. Returns `{ url, fetch(path, init), stop() }`; it stops when the test ends. */
export async function startFixture(t, { dataDir = temporaryFolder(t), ...options } = {}) {
  const build = temporaryFolder(t);
  fs.copyFileSync(new URL('./fixture-worker.js', import.meta.url), path.join(build, 'index.js'));
  fs.writeFileSync(path.join(build, 'index_bg.wasm'), EMPTY_WASM);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const config = writeConfig({ dataDir, port, build, ...options });
  const workerd = await startWorkerd({ config, url, env: options.environment ?? {} });
  t.after(() => workerd.stop());
  return { url, fetch: (where, init) => fetch(url + where, init), stop: workerd.stop };
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
