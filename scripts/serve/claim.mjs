// A data folder belongs to one running workerd at a time: two on the same SQLite files would damage them.

import fs from 'node:fs';
import path from 'node:path';
import { Failure } from '../lib/run.mjs';

/** Claims `dataDir` or fails. `heldBy(pid)` records the process that uses it, `release()` gives it back. */
export function claimDataDir(dataDir) {
  const file = path.join(dataDir, 'workerd.pid');
  const holder = holderOf(file, dataDir);
  if (holder) throw new Failure(`${dataDir} is used by the running process ${holder}. Stop it, or choose another DATA_DIR.`);
  return {
    heldBy: (pid) => fs.writeFileSync(file, String(pid)),
    release: () => fs.rmSync(file, { force: true }),
  };
}

/** The living process that the file names. After a restart of the machine its id may be another program's: look whose it is. */
function holderOf(file, dataDir) {
  try {
    const pid = Number(fs.readFileSync(file, 'utf8'));
    process.kill(pid, 0);
    const command = `/proc/${pid}/cmdline`;
    return !fs.existsSync(command) || fs.readFileSync(command, 'utf8').includes(dataDir) ? pid : null;
  } catch {
    return null;
  }
}
