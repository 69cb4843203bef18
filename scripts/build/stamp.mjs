// Whether a build is still current: a digest of everything that goes into it, kept beside its output.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { inRoot, root } from '../lib/paths.mjs';

const SOURCES = ['Cargo.toml', 'Cargo.lock', 'package-lock.json', 'src', 'record-derive', 'scripts/build.mjs', 'scripts/build', 'scripts/setup/tools.mjs'];
const STAMP = '.stamp';

/** The digest of all sources, the compiler and the flags it is given. */
export function stampOf(compiler) {
  const hash = createHash('sha256').update(compiler).update(process.env.RUSTFLAGS ?? '');
  for (const file of SOURCES.flatMap((name) => filesUnder(inRoot(name)))) {
    hash.update(`\0${path.relative(root, file)}\0`).update(fs.readFileSync(file));
  }
  return hash.digest('hex');
}

export function isCurrent(directory, stamp) {
  const built = ['index.js', 'index_bg.wasm'].every((name) => fs.existsSync(inRoot(directory, name)));
  return built && fs.existsSync(inRoot(directory, STAMP)) && fs.readFileSync(inRoot(directory, STAMP), 'utf8') === stamp;
}

export function writeStamp(directory, stamp) {
  fs.writeFileSync(inRoot(directory, STAMP), stamp);
}

function filesUnder(start) {
  if (!fs.statSync(start).isDirectory()) return [start];
  return fs.readdirSync(start, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}
