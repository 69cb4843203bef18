// The Worker on plain workerd, and a client of its API, for tests in JavaScript.
//
// HELIOGRAPH_BUILD names the build (default build/quick).

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeConfig } from '../scripts/serve/config.mjs';
import { startWorkerd } from '../scripts/serve/workerd.mjs';
import { eventually as within, freePort, temporaryFolder } from './support.mjs';

const PATIENCE_MS = 20_000;

export const eventually = (what, fact) => within(fact, PATIENCE_MS, () => what);

/** Starts the Worker, with these settings beside those of the tests. Returns `{ url, operator }`; it ends with the test. */
export async function startWorker(t, settings = {}) {
  const port = await freePort();
  const env = {
    ADMIN_TOKEN: randomBytes(12).toString('hex'), KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64url'),
    ALLOW_LOOPBACK: '1', RETRY_BASE_MS: '20', RETRY_CAP_MS: '100', ...settings,
  };
  const config = writeConfig({
    dataDir: temporaryFolder(t), port, build: process.env.HELIOGRAPH_BUILD ?? 'build/quick', env: Object.keys(env), loopback: true,
  });
  const url = `http://127.0.0.1:${port}`;
  const running = await startWorkerd({ config, url, env });
  t.after(() => running.stop());
  return { url, operator: client(url, `Bearer ${env.ADMIN_TOKEN}`) };
}

/** `{ authorization, call(method, path, body, expected) }`: JSON to and fro, with the status that has to come. */
export function client(url, authorization) {
  const call = async (method, path, body, expected) => {
    const headers = { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.equal(answer.status, expected, `${method} ${path}: ${text}`);
    return text ? JSON.parse(text) : null;
  };
  return { authorization, call };
}

/** Registers a receiver of the tenant under `base`. Returns the client of its API. */
export async function registeredReceiver(url, operator, endpoints = [], base = '') {
  const registration = { client_name: 'Acme', scope: 'ssf.read ssf.manage', audience: 'https://acme.example', push_endpoints: endpoints };
  const { client_id, client_secret } = await operator.call('POST', `${base}/admin/clients`, registration, 201);
  const answer = await fetch(`${url}${base}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  const { access_token } = await answer.json();
  return { ...client(url + base, `Bearer ${access_token}`), access_token };
}
