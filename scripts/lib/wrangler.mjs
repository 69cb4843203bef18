// How wrangler is called: on a Node.js that it supports, without telemetry, and without asking anybody anything.

import path from 'node:path';
import { modernNode } from '../setup/npm.mjs';
import { inRoot } from './paths.mjs';
import { mergeEnv } from './run.mjs';

/** The program, arguments and environment that run `wrangler ...args`. */
export function wranglerCommand(args, extra = {}) {
  const node = modernNode();
  const env = mergeEnv({
    // Its build command is `node ...`, and it starts further programs by name.
    PATH: [path.dirname(node), inRoot('node_modules/.bin'), process.env.PATH].join(path.delimiter),
    WRANGLER_SEND_METRICS: 'false',
    // Local tracing makes every request several times slower.
    X_LOCAL_OBSERVABILITY: 'false',
    // Request metadata of a made-up client, instead of asking for that of ours.
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    WRANGLER_HIDE_BANNER: 'true',
    ...extra,
  });
  return { program: node, args: [inRoot('node_modules/wrangler/bin/wrangler.js'), ...args], env };
}
