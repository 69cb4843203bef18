// `npm run setup`, and the first step of every other command: everything that building, running and testing needs.
// Each part is silent when nothing is missing.

import { pathToFileURL } from 'node:url';
import { main } from './lib/run.mjs';
import { ensureNpmPackages } from './setup/npm.mjs';
import { ensureToolchain } from './setup/toolchain.mjs';
import { ensureTools } from './setup/tools.mjs';

/** Returns `{ toolchain, tools }` for the build. */
export async function setup() {
  await ensureNpmPackages();
  const toolchain = await ensureToolchain();
  const tools = await ensureTools();
  return { toolchain, tools };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(setup);
