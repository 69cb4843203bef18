// A lock between processes of one machine, so that two set-ups at once do not build the same tool in the same place.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { note } from './step.mjs';

const LOOK_AGAIN_MS = 500;

/** Runs `body` while holding `file`. The file names its holder's process id; that of a dead process is taken over. */
export async function withLock(file, body) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  let waited = false;
  while (!take(file)) {
    if (!waited) note(`waiting for another set-up (${file})`);
    waited = true;
    await sleep(LOOK_AGAIN_MS);
  }
  const release = () => fs.rmSync(file, { force: true });
  process.once('exit', release);
  try {
    return await body();
  } finally {
    process.removeListener('exit', release);
    release();
  }
}

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
