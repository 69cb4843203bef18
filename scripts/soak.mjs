// `npm run soak`: builds as `npm test` does and runs the long random kill test (tests/kill/soak.rs) with 50 kills.
// HELIOGRAPH_KILLS says how many instead; HELIOGRAPH_SEED, which every run prints, repeats the moments of a run.

import { build } from './build.mjs';
import { main, run, show } from './lib/run.mjs';
import { step } from './lib/step.mjs';
import { nativeEnv } from './setup/toolchain.mjs';
import { setup } from './setup.mjs';

const TEST = 'kill::soak::nothing_is_lost_when_the_process_dies_at_random_moments_under_load';
const KILLS = '50';

await main(async () => {
  const profile = process.env.HELIOGRAPH_PROFILE || (process.env.CI === 'true' ? 'release' : 'quick');
  await setup();
  const env = await nativeEnv();
  // Both at once: each has long stretches in which it uses one core only.
  const [worker, tests] = await Promise.allSettled([
    build(profile),
    step('compiling the tests', null, () => run('cargo', ['test', '--test', 'main', '--no-run'], { env })),
  ]);
  for (const { reason } of [worker, tests]) if (reason) throw reason;
  await show('cargo', ['test', '--test', 'main', '--', TEST, '--exact', '--nocapture'], {
    ...env,
    HELIOGRAPH_PROFILE: profile,
    HELIOGRAPH_BUILD: worker.value,
    HELIOGRAPH_KILLS: process.env.HELIOGRAPH_KILLS || KILLS,
  });
});
