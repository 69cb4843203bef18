// The npm packages pinned in package-lock.json: installed when any of them is missing or has another version.

import fs from 'node:fs';
import path from 'node:path';
import { withSetupLock } from '../lib/lock.mjs';
import { inRoot } from '../lib/paths.mjs';
import { Failure, run } from '../lib/run.mjs';
import { step } from '../lib/step.mjs';

/** The oldest Node.js that wrangler runs on. */
const WRANGLER_NODE = [22, 12];

export async function ensureNpmPackages() {
  if (!upToDate()) await withSetupLock(async () => { if (!upToDate()) await install(); });
}

async function install() {
  // npm must not run on the very Node.js that it is about to replace.
  const bin = inRoot('node_modules/.bin');
  const PATH = process.env.PATH.split(path.delimiter).filter((part) => path.resolve(part) !== bin).join(path.delimiter);
  await step('installing npm packages', 'about 15 s', () => run('npm', ['ci', '--no-audit', '--no-fund'], { env: { PATH } }));
  if (!fs.existsSync(pinnedNode())) {
    throw new Failure('npm did not run the install script of the package `node`. Allow install scripts (npm config get ignore-scripts) and run again.');
  }
}

/** A Node.js that wrangler runs on: this one, or the pinned npm package. */
export function modernNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const modern = major > WRANGLER_NODE[0] || (major === WRANGLER_NODE[0] && minor >= WRANGLER_NODE[1]);
  return modern ? process.execPath : pinnedNode();
}

const pinnedNode = () => inRoot('node_modules/node/bin/node');

/** Compares what npm says it installed with what the lock file asks for. File times would lie after a checkout. */
function upToDate() {
  const wanted = packagesIn('package-lock.json');
  const installed = packagesIn('node_modules/.package-lock.json');
  if (!installed || !fs.existsSync(pinnedNode())) return false;
  return Object.entries(wanted).every(([where, { version, optional }]) =>
    where === '' || installed[where]?.version === version || (optional && !installed[where]));
}

function packagesIn(file) {
  try {
    return JSON.parse(fs.readFileSync(inRoot(file), 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}
