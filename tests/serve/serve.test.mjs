// `npm run serve` from its environment to its end, with the Worker under test.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { newSecret } from '../../scripts/serve/settings.mjs';
import { eventually, freePort, startScript, temporaryFolder } from '../support.mjs';

const START_MS = 60_000;

/** The environment of a server of its own. */
async function environment(t, more = {}) {
  return {
    PORT: String(await freePort()), DATA_DIR: temporaryFolder(t), ADMIN_TOKEN: newSecret(), KEY_ENCRYPTION_KEY: newSecret(), ...more,
  };
}

/** Starts serving and waits for the line that says so. */
async function started(t, env) {
  const server = startScript(t, 'serve.mjs', [], env);
  const line = await eventually(() => server.output().match(/^ready at (\S+)$/m), START_MS, server.output);
  return { ...server, url: line[1] };
}

test('data survives a restart, signals end the whole process tree', async (t) => {
  const env = await environment(t);
  const operator = { headers: { authorization: `Bearer ${env.ADMIN_TOKEN}` } };
  const body = JSON.stringify({ client_name: 'Acme', scope: 'ssf.read', audience: 'https://acme.example', push_endpoints: [] });

  const first = await started(t, env);
  assert.equal(first.url, `http://localhost:${env.PORT}`);
  const created = await fetch(`${first.url}/admin/clients`, { method: 'POST', body, headers: { ...operator.headers, 'content-type': 'application/json' } });
  assert.equal(created.status, 201, await created.text());
  const { code } = await first.stop('SIGTERM');
  assert.equal(code, 0, first.output());
  await assert.rejects(fetch(first.url), 'workerd ended too');
  assert.deepEqual(fs.readdirSync(env.DATA_DIR).sort(), ['config.capnp', 'kv', 'object-keys.json', 'objects']);

  const second = await started(t, env);
  const { clients } = await (await fetch(`${second.url}/admin/clients`, operator)).json();
  assert.deepEqual(clients.map((client) => client.client_name), ['Acme']);
});

test('no secret is written to disk', async (t) => {
  const env = await environment(t);
  await started(t, env);
  for (const entry of fs.readdirSync(env.DATA_DIR, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const content = fs.readFileSync(path.join(entry.parentPath ?? entry.path, entry.name));
    for (const secret of [env.ADMIN_TOKEN, env.KEY_ENCRYPTION_KEY]) assert.ok(!content.includes(secret), entry.name);
  }
});

test('it says why it does not start', async (t) => {
  const refusals = [
    [{ KEY_ENCRYPTION_KEY: '' }, /KEY_ENCRYPTION_KEY is not set[^]*export KEY_ENCRYPTION_KEY=/],
    [{ KEY_ENCRYPTION_KEY: 'short' }, /not 32 bytes/],
    [{ WINDOW: 'many' }, /The Worker does not start \(503\)[^]*WINDOW/],
  ];
  for (const [wrong, message] of refusals) {
    const server = startScript(t, 'serve.mjs', [], await environment(t, wrong));
    const { code, output } = await server.ended;
    assert.equal(code, 1, output);
    assert.match(output, message);
  }
});

test('one data folder and one port have one server', async (t) => {
  const env = await environment(t);
  await started(t, env);
  const samePort = await startScript(t, 'serve.mjs', [], { ...env, DATA_DIR: temporaryFolder(t) }).ended;
  assert.match(samePort.output, /Port \d+ is in use/);
  const sameData = await startScript(t, 'serve.mjs', [], { ...env, PORT: String(await freePort()) }).ended;
  assert.match(sameData.output, /is used by the running process/);
});
