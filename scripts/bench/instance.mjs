// An instance of the service for one benchmark: the release build on a data folder of its own, which a restart finds again.
// Settings in the environment (WINDOW=1 npm run bench) reach it.

import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { serve } from '../serve.mjs';
import { newSecret } from '../serve/settings.mjs';
import { apiOf } from './api.mjs';

/**
 * Does `work` with a new instance, which is `{ dataDir, start() }`; ends what was started and removes its data. What it logs is
 * shown, or not: `log`.
 */
export async function withInstance(settings, work, log = 'inherit') {
  const dataDir = newFolder();
  const env = {
    ...process.env, ...settings, PORT: '0', DATA_DIR: dataDir, ADMIN_TOKEN: newSecret(), KEY_ENCRYPTION_KEY: newSecret(), ALLOW_LOOPBACK: '1', PUBLIC_URL: '',
  };
  let running = null;
  const start = async () => {
    running = await serve(env, 'release', log);
    const { url, stop } = running;
    // Where it was, a restart is found again.
    env.PORT = new URL(url).port;
    return {
      url,
      pid: Number(fs.readFileSync(path.join(dataDir, 'workerd.pid'), 'utf8')),
      api: apiOf(url, env.ADMIN_TOKEN),
      /** The operator's API of a new tenant of its own, and where it is. */
      tenant: (tenantSettings) => newTenant(url, env.ADMIN_TOKEN, tenantSettings),
      stop: async () => { running = null; await stop(); },
    };
  };
  try {
    return await work({ dataDir, start });
  } finally {
    await running?.stop();
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
}

/** As `withInstance`, for work that needs no restart: with a running server. */
export const withServer = (settings, work, log) => withInstance(settings, async (instance) => work(await instance.start()), log);

/** Benchmarks keep their data where TMPDIR says: the disk is part of what they measure. */
export const newFolder = () => fs.mkdtempSync(path.join(os.tmpdir(), 'heliograph-bench-'));

async function newTenant(origin, token, settings) {
  const tenant = `bench-${randomUUID().slice(0, 8)}`;
  await apiOf(origin, token)('POST', '/admin/tenants', { tenant, ...settings }, 201);
  const base = `${origin}/t/${tenant}`;
  return { base, api: apiOf(base, token) };
}
