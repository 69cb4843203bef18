// What the system says of a process: Linux only.

import fs from 'node:fs';

const TICKS_PER_SECOND = 100;

/** Milliseconds of processor that a process took since it began, or null where the system does not say. */
export function cpuMs(pid) {
  const file = `/proc/${pid}/stat`;
  if (!fs.existsSync(file)) return null;
  // The name of the program, in brackets, may hold spaces.
  const fields = fs.readFileSync(file, 'utf8').split(') ').at(-1).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** Megabytes of memory that a process has resident, or null. */
export function residentMb(pid) {
  const file = `/proc/${pid}/status`;
  if (!fs.existsSync(file)) return null;
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(file, 'utf8'))[1]) / 1000;
}
