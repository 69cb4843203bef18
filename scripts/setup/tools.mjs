// worker-build and wasm-bindgen, compiled once per version into the shared cache. They run for a second and are compiled
// for minutes, hence the cheap profile.

import fs from 'node:fs';
import { withSetupLock } from '../lib/lock.mjs';
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
  const workerBuild = { crate: 'worker-build', program: 'worker-build', version: WORKER_BUILD, flags: ['--locked'] };
  // Its published lock file does not match its manifest: --locked fails.
  const wasmBindgen = { crate: 'wasm-bindgen-cli', program: 'wasm-bindgen', version: lockedVersion('wasm-bindgen'), flags: [] };
  const missing = () => [workerBuild, wasmBindgen].filter((tool) => !fs.existsSync(fileOf(tool)));
  if (missing().length > 0) await withSetupLock(() => compile(missing()));
  return {
    workerBuild: fileOf(workerBuild),
    env: { WASM_BINDGEN_BIN: fileOf(wasmBindgen), WASM_OPT_BIN: npmBin('wasm-opt'), ESBUILD_BIN: npmBin('esbuild') },
  };
}

const rootOf = ({ crate, version }) => inCache('tools', `${crate}-${version}`);
const fileOf = (tool) => `${rootOf(tool)}/bin/${tool.program}`;

async function compile(tools) {
  fs.mkdirSync(inCache('tools'), { recursive: true });
  // One directory for all: they share a part of their dependencies.
  const target = inCache('tools/target');
  const env = { ...await nativeEnv(), ...CHEAP_PROFILE, CARGO_TARGET_DIR: target, RUSTFLAGS: undefined };
  for (const tool of tools) {
    const { crate, program, version, flags } = tool;
    const args = ['install', crate, '--version', version, '--bin', program, '--root', rootOf(tool), ...flags];
    await step(`compiling ${crate} ${version}`, 'a few minutes, once', () => run('cargo', args, { env, cwd: inCache('tools') }));
  }
  fs.rmSync(target, { recursive: true, force: true });
}
