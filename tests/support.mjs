// What tests of the project's own commands share.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { inRoot } from '../scripts/lib/paths.mjs';

/** Starts `node scripts/NAME ...args` in a process group of its own. Returns `{ output(), ended, stop() }`; it stops when the test ends. */
export function startScript(t, name, args, env) {
  const child = spawn(process.execPath, [inRoot('scripts', name), ...args], {
    cwd: inRoot(),
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk; });
  const ended = new Promise((resolve, reject) => child.on('error', reject).on('close', (code, signal) => resolve({ code, signal, output })));
  const stop = (signal = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return ended;
  };
  t.after(() => stop());
  return { output: () => output, ended, stop };
}

/** Asks `fact` until it gives a value, at most for `ms`; then fails with what `describe` says. */
export async function eventually(fact, ms, describe) {
  for (const deadline = Date.now() + ms; ;) {
    const value = await fact();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A folder that is removed when the test ends. */
export function temporaryFolder(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'heliograph-test-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));
  return folder;
}

/** A port that nobody listens on. */
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
