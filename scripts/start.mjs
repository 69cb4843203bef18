// `npm start`: Heliograph for development, at http://localhost:8787 (PORT chooses another). wrangler runs the Worker and
// rebuilds it when src changes; no account and no network are needed. Arguments go to `wrangler dev`.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from './build.mjs';
import { inRoot } from './lib/paths.mjs';
import { Failure, main } from './lib/run.mjs';
import { note } from './lib/step.mjs';
import { newSecret } from './serve/settings.mjs';
import { wranglerCommand } from './lib/wrangler.mjs';

const READY_MS = 60_000;
const POLL_MS = 100;
const STOP_MS = 5_000;

await main(async () => {
  const profile = process.env.HELIOGRAPH_PROFILE || 'quick';
  const port = process.env.PORT || '8787';
  const url = `http://localhost:${port}`;
  const directory = await build(profile);
  makeDevelopmentSettings();

  const { program, args, env } = wranglerCommand([
    'dev', `${directory}/index.js`, '--port', port, '--inspector-port', '0', '--show-interactive-dev-session=false',
    '--var', `PUBLIC_URL:${url}`, ...process.argv.slice(2),
  ], { HELIOGRAPH_PROFILE: profile });
  const child = spawn(program, args, { cwd: inRoot(), env, stdio: ['ignore', 'inherit', 'inherit'] });
  const exited = new Promise((resolve) => {
    child.on('error', (error) => resolve(`could not be started: ${error.message}`));
    child.on('exit', (code, signal) => resolve(signal ? `was ended by ${signal}` : `ended with ${code}`));
  });
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (!stopping) setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref();
      stopping = true;
      child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
    });
  }
  void announce(url, exited);
  const how = await exited;
  if (!stopping) throw new Failure(`wrangler ${how}`);
});

/** The settings of development, made at the first start: an operator's token that the page may use, loopback endpoints. */
function makeDevelopmentSettings() {
  const file = inRoot('.dev.vars');
  if (fs.existsSync(file)) return;
  fs.writeFileSync(file, `# Settings of \`npm start\`, made at its first run. The stored keys can only be read with this KEY_ENCRYPTION_KEY:
# to begin afresh, delete this file together with .wrangler/state.
ADMIN_TOKEN="${newSecret()}"
KEY_ENCRYPTION_KEY="${newSecret()}"
ALLOW_LOOPBACK="1"
DEVELOPMENT="1"
`, { mode: 0o600 });
  note('wrote .dev.vars with new secrets for development');
}

async function announce(url, exited) {
  let over = false;
  void exited.then(() => { over = true; });
  for (const deadline = Date.now() + READY_MS; !over && Date.now() < deadline; await sleep(POLL_MS)) {
    const answer = await fetch(`${url}/console.json`).catch(() => null);
    await answer?.body?.cancel();
    if (answer) return console.log(`\nHeliograph is running at ${url}   (Ctrl-C stops it)\n`);
  }
}
