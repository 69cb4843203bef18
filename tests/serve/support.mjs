// A workerd that runs a Worker which stands in for ours (fixture-worker.js), with the real assets and KV around it.

import fs from 'node:fs';
import path from 'node:path';
import { writeConfig } from '../../scripts/serve/config.mjs';
import { startWorkerd } from '../../scripts/serve/workerd.mjs';
import { freePort, temporaryFolder } from '../support.mjs';

/** The smallest wasm module there is. */
const EMPTY_WASM = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

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
