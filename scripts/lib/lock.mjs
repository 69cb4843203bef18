// A lock between all set-ups of one user, so that two at once do not build the same tool in the same place. It is taken only
// when something is missing; what is missing must be looked at again under the lock.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inCache } from './paths.mjs';
import { note } from './step.mjs';

const LOOK_AGAIN_MS = 100;

/** Whether this process holds the lock already: one of its set-up steps may need another. */
let ours = false;

/** Does `body` while no other process does anything under this lock. */
export async function withSetupLock(body) {
  if (ours) return body();
  const file = inCache('setup.lock');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  let waited = false;
  while (!take(file)) {
    if (!waited) note('waiting for another set-up to finish');
    waited = true;
    await sleep(LOOK_AGAIN_MS);
  }
  ours = true;
  const release = () => fs.rmSync(file, { force: true });
  process.once('exit', release);
  try {
    return await body();
  } finally {
    process.removeListener('exit', release);
    release();
    ours = false;
  }
}

/** The file names its holder's process id. That of a dead process is taken over. */
function take(file) {
  // The id is in the file from its first moment: it is written beside it and linked, which fails if the name is taken.
  const mine = `${file}.${process.pid}`;
  fs.writeFileSync(mine, String(process.pid));
  try {
    fs.linkSync(mine, file);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (!holderLives(file)) fs.rmSync(file, { force: true });
    return false;
  } finally {
    fs.rmSync(mine, { force: true });
  }
}

function holderLives(file) {
  try {
    const pid = Number(fs.readFileSync(file, 'utf8'));
    if (!(pid > 0)) return false;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
