// `npm test`: builds the Worker and runs every test. `npm test -- NAME...` runs only the Rust tests whose names contain
// NAME, which is the inner loop. Locally the quick build is tested, under CI=true the release build;
// HELIOGRAPH_PROFILE chooses otherwise.

import fs from 'node:fs';
import { build } from './build.mjs';
import { inRoot } from './lib/paths.mjs';
import { main, run, show } from './lib/run.mjs';
import { step } from './lib/step.mjs';
import { ensureChromium } from './setup/chromium.mjs';
import { modernNode } from './setup/npm.mjs';
import { nativeEnv } from './setup/toolchain.mjs';
import { setup } from './setup.mjs';

/** Tests in JavaScript: the serving scripts, the CloudEvents SDK and other libraries as the other side, the page in a browser, wrangler. */
const SUITES = ['tests/serve', 'tests/cloudevents', 'tests/counterparts', 'tests/page', 'tests/wrangler'];

await main(async () => {
  const filters = process.argv.slice(2);
  const profile = process.env.HELIOGRAPH_PROFILE || (process.env.CI === 'true' ? 'release' : 'quick');
  await setup();
  const native = await nativeEnv();
  // Both at once: each has long stretches in which it uses one core only.
  const [worker, tests] = await Promise.allSettled([build(profile), compileTests(native)]);
  for (const { reason } of [worker, tests]) if (reason) throw reason;

  const env = { HELIOGRAPH_PROFILE: profile, HELIOGRAPH_BUILD: worker.value };
  await cargoTest(filters, { ...native, ...env });
  if (filters.length > 0) return;
  const files = SUITES.flatMap(testFiles);
  if (files.some((file) => file.startsWith('tests/page/'))) env.CHROMIUM = await ensureChromium();
  // One after another: each starts a runtime or a browser of its own.
  await show(modernNode(), ['--test', '--test-concurrency=1', ...files], env);
});

function compileTests(env) {
  return step('compiling the tests', null, () => run('cargo', ['test', '--lib', '--tests', '--no-run'], { env }));
}

async function cargoTest(filters, env) {
  // With a name: only the unit tests and the integration tests that match, and no documentation tests.
  if (filters.length === 0) return show('cargo', ['test'], env);
  await show('cargo', ['test', '--lib', '--tests', '--', ...filters], env);
}

function testFiles(directory) {
  if (!fs.existsSync(inRoot(directory))) return [];
  return fs.readdirSync(inRoot(directory)).filter((name) => name.endsWith('.test.mjs')).sort().map((name) => `${directory}/${name}`);
}
