// One workerd process, from a written configuration to its end.

import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { inRoot } from '../lib/paths.mjs';
import { Failure } from '../lib/run.mjs';

/** The program itself: the npm package's own command is a script that only looks for it. */
const PROGRAM = inRoot('node_modules/workerd/bin/workerd');

const READY_MS = 30_000;
const POLL_MS = 20;
const STOP_MS = 5_000;

/**
 * Starts workerd and waits until the Worker at `url` answers. Returns `{ pid, exited, stop() }`. It stays in our process
 * group, so that whoever ends the group ends it too. `log` is where its output goes, as `spawn` has it.
 */
export async function startWorkerd({ config, url, env, log = 'inherit' }) {
  const child = spawn(PROGRAM, ['serve', config, '--experimental'], { env, stdio: ['ignore', log, log] });
  const exited = new Promise((resolve) => {
    child.on('error', (error) => resolve(`could not be started: ${error.message}`));
    child.on('exit', (code, signal) => resolve(signal ? `was ended by ${signal}` : `ended with ${code}`));
  });
  const stop = async () => {
    child.kill('SIGTERM');
    const patience = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(patience);
  };
  try {
    await Promise.race([untilReady(url), exited.then((how) => { throw new Failure(`workerd ${how}`); })]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { pid: child.pid, exited, stop };
}

/** Waits for connections, then for a good answer: the Worker says with /console.json whether its settings are right. */
async function untilReady(url) {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    let response;
    try {
      response = await fetch(new URL('/console.json', url), { signal: AbortSignal.timeout(READY_MS) });
    } catch (error) {
      if (Date.now() > deadline) throw new Failure(`Nothing answers at ${url}: ${error.cause?.message ?? error.message}`);
      await sleep(POLL_MS);
      continue;
    }
    const body = await response.text();
    if (!response.ok) throw new Failure(`The Worker does not start (${response.status}):\n${body}`);
    return;
  }
}
