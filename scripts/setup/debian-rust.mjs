// Debian's Rust as a wasm compiler. The distribution ships rustc, cargo and the standard library's source, but neither the
// library compiled for wasm32-unknown-unknown nor a linker under the name rustc expects: the library is built once and put
// into that compiler's own directory, where worker-build looks for it; the linker is any rustup toolchain's or Debian's lld.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { withSetupLock } from '../lib/lock.mjs';
import { inCache } from '../lib/paths.mjs';
import { Failure, outputOf, run } from '../lib/run.mjs';
import { step } from '../lib/step.mjs';
import { canCompile, TARGET } from './cargo.mjs';
import { asRoot, ensureDebianPackages } from './debian.mjs';

const PACKAGES = ['rustc-web', 'cargo-web', 'rust-web-src'];
const LLD_PACKAGE = 'lld-22';
const WHY = `to compile Rust to ${TARGET}, for which rustup has no target here`;

/** The toolchain, when it is complete already; else null. Installs and builds nothing. */
export async function debianToolchain() {
  const linker = findLinker();
  if (!linker || !fs.existsSync('/usr/bin/cargo')) return null;
  const env = environment(linker);
  const id = await outputOf('rustc', ['-vV'], { env });
  return id && await canCompile(env) ? { id: `debian ${id}`, env } : null;
}

/** The toolchain, completed where something is missing. */
export async function ensureDebianToolchain() {
  return await debianToolchain() ?? withSetupLock(complete);
}

async function complete() {
  await ensureDebianPackages(PACKAGES, WHY, 'about 1 min, once');
  if (!findLinker()) await ensureDebianPackages([LLD_PACKAGE], WHY, 'once');
  const linker = findLinker();
  if (!linker) throw new Failure(`No wasm linker: neither rust-lld of a rustup toolchain nor wasm-ld of ${LLD_PACKAGE}.`);

  if (!await debianToolchain()) {
    await step(`building the standard library for ${TARGET}`, 'about 1 min, once', () => buildStandardLibrary(environment(linker)));
  }
  const toolchain = await debianToolchain();
  if (!toolchain) throw new Failure(`Debian's rustc still cannot compile for ${TARGET}.`);
  return toolchain;
}

/** Debian's programs first on PATH, through links in a directory of their own: /usr/bin as a whole would shadow more. */
function environment(linker) {
  const bin = inCache('debian-rust/bin');
  fs.mkdirSync(bin, { recursive: true });
  for (const name of ['cargo', 'rustc', 'rustdoc']) {
    try {
      fs.symlinkSync(path.join('/usr/bin', name), path.join(bin, name));
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
  }
  return {
    PATH: bin + path.delimiter + process.env.PATH,
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker,
    RUSTC: undefined,
    CARGO: undefined,
    RUSTUP_TOOLCHAIN: undefined,
  };
}

async function buildStandardLibrary(env) {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'heliograph-std-'));
  try {
    fs.mkdirSync(path.join(work, 'src'));
    fs.writeFileSync(path.join(work, 'src/lib.rs'), '');
    fs.writeFileSync(path.join(work, 'Cargo.toml'), '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n');
    await run('cargo', ['build', '--release', '--target', TARGET, '-Z', 'build-std=std,panic_abort'], {
      cwd: work,
      // Cargo's unstable flag on a stable compiler, and the marks that the distributed library carries.
      env: { ...env, RUSTC_BOOTSTRAP: '1', RUSTFLAGS: '-Zforce-unstable-if-unmarked', CARGO_TARGET_DIR: path.join(work, 'target') },
    });
    const deps = path.join(work, 'target', TARGET, 'release/deps');
    const libraries = fs.readdirSync(deps).filter((name) => name.endsWith('.rlib') && !name.startsWith('libempty-'));
    await install(libraries.map((name) => path.join(deps, name)), env);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

async function install(libraries, env) {
  const { stdout } = await run('rustc', ['--print', 'target-libdir', '--target', TARGET], { env });
  const directory = stdout.trim();
  const root = await asRoot();
  if (!root) throw new Failure(`${directory} can only be written by root. Run this set-up once as root.`);
  // Whatever is there was built for another version of the compiler.
  await root(['rm', '-rf', directory]);
  await root(['mkdir', '-p', directory]);
  await root(['cp', ...libraries, directory]);
}

/** rust-lld of any rustup toolchain, or the newest wasm-ld of Debian. */
function findLinker() {
  const rustup = path.join(process.env.RUSTUP_HOME || path.join(os.homedir(), '.rustup'), 'toolchains');
  for (const toolchain of list(rustup)) {
    for (const host of list(path.join(rustup, toolchain, 'lib/rustlib'))) {
      const file = path.join(rustup, toolchain, 'lib/rustlib', host, 'bin/rust-lld');
      if (fs.existsSync(file)) return file;
    }
  }
  const newest = list('/usr/bin').filter((name) => /^wasm-ld-\d+$/.test(name)).map((name) => Number(name.slice(8))).sort((a, b) => b - a)[0];
  return newest >= 20 ? `/usr/bin/wasm-ld-${newest}` : null;
}

function list(directory) {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}
