// Debian packages, installed when missing: as root, or through sudo where that asks for no password.

import fs from 'node:fs';
import { Failure, outputOf, run } from '../lib/run.mjs';
import { step } from '../lib/step.mjs';

const NONINTERACTIVE = { DEBIAN_FRONTEND: 'noninteractive' };

export const isDebian = () => fs.existsSync('/usr/bin/apt-get');

/** Makes sure that `packages` are installed. `why` completes the sentence "They are needed ...". */
export async function ensureDebianPackages(packages, why, hint) {
  const missing = [];
  for (const name of packages) {
    const state = await outputOf('dpkg-query', ['-W', '-f=${Status}', name]);
    if (!state?.endsWith(' installed')) missing.push(name);
  }
  if (missing.length === 0) return;

  const names = missing.join(' ');
  if (!isDebian()) throw new Failure(`Not found: ${names}. They are needed ${why}. This system has no apt-get: install them by hand.`);
  const root = await asRoot();
  if (!root) throw new Failure(`Not found: ${names}. They are needed ${why}. Run: sudo apt-get install ${names}`);
  await step(`installing ${names}`, hint, async () => {
    const install = () => root(['apt-get', 'install', '-y', '--no-install-recommends', ...missing]);
    // The package lists may be absent or old: fetch them only when the packages are not found.
    await install().catch(async () => { await root(['apt-get', 'update']); await install(); });
  });
}

/** A function that runs a command with root's rights, or null when there is no way to do so without a question. */
export async function asRoot() {
  if (process.getuid?.() === 0) return ([program, ...args]) => run(program, args, { env: NONINTERACTIVE });
  if ((await outputOf('sudo', ['-n', 'true'])) === null) return null;
  return (command) => run('sudo', ['-n', 'DEBIAN_FRONTEND=noninteractive', ...command]);
}
