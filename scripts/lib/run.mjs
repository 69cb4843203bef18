// Running other programs. Quiet by default: what a program prints is shown only when it fails.

import { spawn } from 'node:child_process';
import path from 'node:path';
import { root } from './paths.mjs';
import { note } from './step.mjs';

/** An expected failure: its message says what to do, so no stack trace is printed. */
export class Failure extends Error {}

/** How much of a failed program's output is shown. */
const TAIL_BYTES = 16 * 1024;

/**
 * Runs a program to its end. Resolves to its output; rejects with a `Failure` when it cannot be started or exits non-zero.
 * `env` is added to our own environment (undefined removes a name), `inherit` lets it print as it goes, `input` lets it
 * ask, `timeoutMs` ends it when it takes longer.
 */
export function run(program, args, { env = {}, cwd = root, inherit = false, input = false, timeoutMs } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: mergeEnv(env),
      stdio: [input ? 'inherit' : 'ignore', inherit ? 'inherit' : 'pipe', inherit ? 'inherit' : 'pipe'],
      timeout: timeoutMs,
    });
    let stdout = '';
    let all = '';
    child.stdout?.on('data', (chunk) => { stdout += chunk; all += chunk; });
    child.stderr?.on('data', (chunk) => { all += chunk; });
    child.on('error', (error) => reject(new Failure(`${program} cannot be started: ${error.message}`)));
    child.on('close', (code, signal) => {
      if (code === 0) return resolve({ stdout, output: all });
      const how = signal ? `was ended by ${signal}` : `ended with ${code}`;
      reject(new Failure(`${all.slice(-TAIL_BYTES)}\n${[program, ...args].join(' ')} ${how}`.trimStart()));
    });
  });
}

/** Runs a program whose output is for the reader: a test runner, a linter, wrangler. */
export async function show(program, args, env = {}) {
  note([path.basename(program), ...args].join(' '));
  await run(program, args, { env, inherit: true });
}

/** The trimmed standard output of a program, or null when it fails or does not exist. */
export async function outputOf(program, args, options) {
  try {
    return (await run(program, args, options)).stdout.trim();
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}

export function mergeEnv(extra) {
  const env = { ...process.env, ...extra };
  for (const name of Object.keys(env)) if (env[name] === undefined) delete env[name];
  return env;
}

/** Runs a script's main function: a `Failure` prints its message, anything else its stack, both exit with 1. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    process.stderr.write(`\n${error instanceof Failure ? error.message : error.stack}\n`);
    process.exit(1);
  }
}
