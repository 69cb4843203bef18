// What the project's Cargo files say, and what the rustc of a given environment can do.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { inRoot } from '../lib/paths.mjs';
import { Failure, mergeEnv, outputOf } from '../lib/run.mjs';

export const TARGET = 'wasm32-unknown-unknown';

/** The locked version of a crate. */
export function lockedVersion(crate) {
  const lock = fs.readFileSync(inRoot('Cargo.lock'), 'utf8');
  const found = lock.match(new RegExp(`^name = "${crate}"\\nversion = "([^"]+)"`, 'm'));
  if (!found) throw new Failure(`Cargo.lock does not hold ${crate}.`);
  return found[1];
}

/** `rustc -vV` under `env`, or null when there is no compiler or it is older than Cargo.toml's `rust-version`. */
export async function usableCompiler(env) {
  const [, minimum] = fs.readFileSync(inRoot('Cargo.toml'), 'utf8').match(/^rust-version = "1\.(\d+)/m);
  const version = await outputOf('rustc', ['-vV'], { env });
  const minor = version?.match(/^release: 1\.(\d+)/m)?.[1];
  return Number(minor) >= Number(minimum) ? version : null;
}

/** Whether rustc has a standard library for the target that fits it, and a linker: found out by building an empty crate. */
export async function canCompile(env) {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'heliograph-probe-'));
  try {
    // Standard input is the empty source. The output is a real file: rustc replaces whatever it is told to write.
    const args = ['-', '--target', TARGET, '--crate-type=cdylib', '--crate-name=probe', '--out-dir', work];
    const linker = mergeEnv(env).CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER;
    if (linker) args.push('-C', `linker=${linker}`);
    return (await outputOf('rustc', args, { env })) !== null;
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}
