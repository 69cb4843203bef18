// `npm test`: builds the Worker and runs every test. `npm test -- NAME...` runs only the Rust tests whose names contain
// NAME, which is the inner loop. Locally the quick build is tested, under CI=true the release build;
// HELIOGRAPH_PROFILE chooses otherwise.

import fs from 'node:fs';
import { build } from './build.mjs';
import { inRoot } from './lib/paths.mjs';
import { main, show } from './lib/run.mjs';
import { ensureChromium } from './setup/chromium.mjs';
import { modernNode } from './setup/npm.mjs';
import { nativeEnv } from './setup/toolchain.mjs';

/** Tests in JavaScript: the serving scripts, the page in a browser, wrangler. */
const SUITES = ['tests/serve', 'tests/page', 'tests/wrangler'];

await main(async () => {
  const filters = process.argv.slice(2);
  const profile = process.env.HELIOGRAPH_PROFILE || (process.env.CI === 'true' ? 'release' : 'quick');
  const directory = await build(profile);
  const env = { HELIOGRAPH_PROFILE: profile, HELIOGRAPH_BUILD: directory };

  await cargoTest(filters, { ...await nativeEnv(), ...env });
  if (filters.length > 0) return;
  const files = SUITES.flatMap(testFiles);
  if (files.some((file) => file.startsWith('tests/page/'))) env.CHROMIUM = await ensureChromium();
  // One after another: each starts a runtime or a browser of its own.
  await show(modernNode(), ['--test', '--test-concurrency=1', ...files], env);
});

async function cargoTest(filters, env) {
  // With a name: only the unit tests and the integration tests that match, and no documentation tests.
  if (filters.length === 0) return show('cargo', ['test'], env);
  await show('cargo', ['test', '--lib', '--tests', '--', ...filters], env);
}

function testFiles(directory) {
  if (!fs.existsSync(inRoot(directory))) return [];
  return fs.readdirSync(inRoot(directory)).filter((name) => name.endsWith('.test.mjs')).sort().map((name) => `${directory}/${name}`);
}
