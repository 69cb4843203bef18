// A compiler for wasm32-unknown-unknown, from the first of three places that has one:
//   1. the rustc on PATH with the target installed;  2. the same after `rustup target add`;
//   3. on Debian and Ubuntu, the distribution's rustc-web with a standard library built from its own source (debian-rust.mjs).
// HELIOGRAPH_TOOLCHAIN=debian goes straight to the third.

import { Failure, outputOf, run } from '../lib/run.mjs';
import { step } from '../lib/step.mjs';
import { canCompile, TARGET, usableCompiler } from './cargo.mjs';
import { isDebian } from './debian.mjs';
import { debianToolchain, ensureDebianToolchain } from './debian-rust.mjs';

/** How long `rustup target add` may take before the next way is tried. */
const RUSTUP_MS = 180_000;

/**
 * Returns `{ id, env }`: `id` changes with the compiler, `env` is what must be added to the environment to use it.
 */
export async function ensureToolchain() {
  if (process.env.HELIOGRAPH_TOOLCHAIN === 'debian') return ensureDebianToolchain();

  const native = await usableCompiler({});
  if (native && await canCompile({})) return { id: native, env: {} };
  const debian = await debianToolchain();
  if (debian) return debian;

  if (native && await rustupTarget() && await canCompile({})) return { id: native, env: {} };
  if (isDebian()) return ensureDebianToolchain();
  throw new Failure(`No Rust compiler for ${TARGET}. Install Rust from https://rustup.rs, then: rustup target add ${TARGET}`);
}

/** The environment in which native code is compiled: ours, unless only Debian's compiler is new enough. */
export async function nativeEnv() {
  if (await usableCompiler({})) return {};
  return (await ensureDebianToolchain()).env;
}

async function rustupTarget() {
  if ((await outputOf('rustup', ['--version'])) === null) return false;
  try {
    await step(`rustup target add ${TARGET}`, 'once', () => run('rustup', ['target', 'add', TARGET], { timeoutMs: RUSTUP_MS }));
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}
