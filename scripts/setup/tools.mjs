// worker-build and wasm-bindgen, compiled once per version into the shared cache. They run for a second and are compiled
// for minutes, hence the cheap profile.

import fs from 'node:fs';
import { inCache, npmBin } from '../lib/paths.mjs';
import { run } from '../lib/run.mjs';
import { step } from '../lib/step.mjs';
import { lockedVersion } from './cargo.mjs';
import { nativeEnv } from './toolchain.mjs';

const WORKER_BUILD = '0.8.7';

const CHEAP_PROFILE = {
  CARGO_PROFILE_RELEASE_OPT_LEVEL: '1',
  CARGO_PROFILE_RELEASE_LTO: 'off',
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
  CARGO_PROFILE_RELEASE_DEBUG: '0',
  CARGO_PROFILE_RELEASE_STRIP: 'debuginfo',
  CARGO_PROFILE_RELEASE_PANIC: 'unwind',
};

/** Returns the programs, and the environment that makes worker-build use ours instead of downloading its own. */
export async function ensureTools() {
  const bindgenVersion = lockedVersion('wasm-bindgen');
  const workerBuild = await installed('worker-build', 'worker-build', WORKER_BUILD, ['--locked']);
  // Its published lock file does not match its manifest: --locked fails.
  const wasmBindgen = await installed('wasm-bindgen-cli', 'wasm-bindgen', bindgenVersion, []);
  fs.rmSync(inCache('tools/target'), { recursive: true, force: true });
  return {
    workerBuild,
    env: { WASM_BINDGEN_BIN: wasmBindgen, WASM_OPT_BIN: npmBin('wasm-opt'), ESBUILD_BIN: npmBin('esbuild') },
  };
}

async function installed(crate, program, version, flags) {
  const root = inCache('tools', `${crate}-${version}`);
  const file = `${root}/bin/${program}`;
  if (fs.existsSync(file)) return file;
  fs.mkdirSync(inCache('tools'), { recursive: true });
  const env = {
    ...(await nativeEnv()),
    ...CHEAP_PROFILE,
    // One directory for both: they share a part of their dependencies.
    CARGO_TARGET_DIR: inCache('tools/target'),
    RUSTFLAGS: undefined,
  };
  const args = ['install', crate, '--version', version, '--bin', program, '--root', root, ...flags];
  await step(`compiling ${crate} ${version}`, 'a few minutes, once', () => run('cargo', args, { env, cwd: inCache('tools') }));
  return file;
}
