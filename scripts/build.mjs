// `npm run build [-- quick|release]`: compiles the Worker into build/<profile>. Does nothing when nothing changed.
//   release  optimised for size, as deployed; fails when the wasm is over its limit
//   quick    without LTO and wasm-opt, incremental: for working on the code

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { inRoot } from './lib/paths.mjs';
import { Failure, main, mergeEnv, run } from './lib/run.mjs';
import { note, step } from './lib/step.mjs';
import { namedByLikeness } from './build/likeness.mjs';
import { isCurrent, stampOf, writeStamp } from './build/stamp.mjs';
import { setup } from './setup.mjs';

/** design.md 9: the wasm stays under this, compressed. */
const GZIP_LIMIT = 500 * 1000;

const PROFILES = {
  release: { flags: ['--release'], hint: 'with optimisation, 1 to 2 min', optimise: true },
  quick: { flags: ['--profile', 'quick', '--no-opt'], hint: null },
};

/** Returns the build's directory, relative to the checkout. */
export async function build(profile) {
  const known = PROFILES[profile];
  if (!known) throw new Failure(`Unknown profile ${profile}: ${Object.keys(PROFILES).join(' or ')}.`);
  const { toolchain, tools } = await setup();
  const directory = `build/${profile}`;
  // Taken before compiling: a change made meanwhile must not count as built.
  const stamp = stampOf(toolchain.id);
  if (isCurrent(directory, stamp)) return directory;

  await step(`compiling the Worker (${profile})`, known.hint, async () => {
    const env = { ...toolchain.env, ...tools.env };
    env.PATH = `${inRoot('node_modules/.bin')}:${env.PATH ?? mergeEnv({}).PATH}`;
    // Where a panic happened is part of the wasm. Where crates lie on the machine that built it is nobody's business.
    const cargoHome = process.env.CARGO_HOME ?? path.join(os.homedir(), '.cargo');
    env.RUSTFLAGS = `${process.env.RUSTFLAGS ?? ''} --remap-path-prefix=${cargoHome}/registry/src/=`.trim();
    if (known.optimise) env.RUSTFLAGS += ` ${INLINING.map((option) => `-Cllvm-args=${option}`).join(' ')}`;
    const { output } = await run(tools.workerBuild, [...known.flags, '--out-dir', directory], { env });
    showWarnings(output);
    if (known.optimise) await optimise(directory, tools.env.WASM_OPT_BIN);
  });
  reportSize(directory, profile);
  writeStamp(directory, stamp);
  return directory;
}

/** What rustc's output may use: named one by one, so that a newer binaryen does not add what workerd cannot read yet. */
const FEATURES = ['bulk-memory', 'exception-handling', 'multivalue', 'mutable-globals', 'nontrapping-float-to-int', 'reference-types', 'sign-ext'];

/** A function with one caller is inlined there when it is not larger than this, in wasm-opt's nodes. Without a bound, functions of 70 KB come about that compress badly. */
const INLINE_UP_TO = 40;

/**
 * What LLVM takes instructions and calls to cost when it decides what to inline. It sets that against 15,000 for a function with
 * one caller: with these such a function is inlined below some 100 instructions, and others as they would be by default. Four times
 * as much makes the wasm 15 KB smaller, and what is done seldom a quarter slower.
 */
const INLINING = ['-inline-instr-cost=600', '-inline-call-penalty=900', '-inline-threshold=-600'];

/**
 * Optimises for size and drops the names of functions. worker-build's own step would keep them. Nothing of Rust's lies in the
 * first KB of the memory, which is the far end of the stack.
 */
async function optimise(directory, wasmOpt) {
  const wasm = inRoot(directory, 'index_bg.wasm');
  const pass = (...flags) => run(wasmOpt, [wasm, '-o', wasm, ...flags, '--strip-debug', ...FEATURES.map((feature) => `--enable-${feature}`)]);
  await pass('-Os', '--converge', `--one-caller-inline-max-function-size=${INLINE_UP_TO}`, '--low-memory-unused');
  fs.writeFileSync(wasm, namedByLikeness(fs.readFileSync(wasm)));
  // Without what -Os does on writing, the wasm would grow again.
  await pass('--reorder-functions-by-name', '--optimize-level=2', '--shrink-level=1', '--generate-stack-ir', '--optimize-stack-ir');
}

function reportSize(directory, profile) {
  const wasm = fs.readFileSync(inRoot(directory, 'index_bg.wasm'));
  const zipped = gzipSync(wasm, { level: 9 }).length;
  note(`wasm (${profile}): ${kilobytes(wasm.length)} raw, ${kilobytes(zipped)} gzip`);
  if (profile === 'release' && zipped > GZIP_LIMIT) {
    throw new Failure(`The wasm is ${kilobytes(zipped)} gzip; the limit is ${kilobytes(GZIP_LIMIT)}.`);
  }
}

const kilobytes = (bytes) => `${(bytes / 1000).toFixed(0)} KB`;

/** A quiet build still shows what the compiler warned about. */
function showWarnings(output) {
  const lines = output.split('\n');
  const first = lines.findIndex((line) => /^warning\b/.test(line));
  const last = lines.findIndex((line) => /^\s+Finished /.test(line));
  if (first >= 0) process.stderr.write(`\n${lines.slice(first, last < first ? undefined : last).join('\n')}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(() => build(process.argv[2] ?? process.env.HELIOGRAPH_PROFILE ?? 'release'));
}
