// `npm run deploy`: builds the release and deploys it to Cloudflare. Arguments go to `wrangler deploy`.

import { build } from './build.mjs';
import { main, run } from './lib/run.mjs';
import { wranglerCommand } from './lib/wrangler.mjs';

await main(async () => {
  await build('release');
  const { program, args, env } = wranglerCommand(['deploy', ...process.argv.slice(2)]);
  await run(program, args, { env, inherit: true, input: true });
});
