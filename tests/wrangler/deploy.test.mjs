// `npm run deploy` up to the point where it would upload: wrangler accepts wrangler.toml and what was built.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import { run } from '../../scripts/lib/run.mjs';
import { wranglerCommand } from '../../scripts/lib/wrangler.mjs';
import { temporaryFolder } from '../support.mjs';

test('wrangler deploy --dry-run bundles the Worker with all its bindings', async (t) => {
  const out = temporaryFolder(t);
  // The build under test, instead of making the release build only to look at its wrapping.
  const build = process.env.HELIOGRAPH_BUILD ?? 'build/quick';
  const { program, args, env } = wranglerCommand(
    ['deploy', `${build}/index.js`, '--dry-run', '--outdir', out],
    { HELIOGRAPH_PROFILE: build.split('/').at(-1) },
  );
  const { output } = await run(program, args, { env });
  for (const binding of ['TENANT', 'STREAM', 'SOURCE', 'CONFIG']) assert.match(output, new RegExp(`env\\.${binding}\\b`));
  const files = fs.readdirSync(out);
  assert.ok(files.some((name) => name.endsWith('.wasm')), files.join(' '));
});
