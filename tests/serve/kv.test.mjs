// KV, objects and the network under `npm run serve`.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { temporaryFolder } from '../support.mjs';
import { startFixture } from './support.mjs';

/** `/admin/kv` of the stand-in, as a KV namespace. */
function kvOf(served) {
  const call = async (parameters, init) => {
    const answer = await served.fetch(`/admin/kv?${new URLSearchParams(parameters)}`, init);
    return answer.ok ? answer.text() : Promise.reject(new Error(`${answer.status} ${await answer.text()}`));
  };
  return {
    put: (key, body, options = {}) => call({ key, ...options }, { method: 'PUT', body }),
    get: async (key) => JSON.parse(await call({ key })),
    delete: (key) => call({ key }, { method: 'DELETE' }),
    bulk: async (...keys) => JSON.parse(await call({ keys })),
    list: async (options) => JSON.parse(await call(options)),
  };
}

test('what is put is read back, by any key, with its metadata', async (t) => {
  const kv = kvOf(await startFixture(t));
  for (const key of ['plain', 'a/b c?d=e&f#g', 'bulk/get', 'ümlaut 🙂', '%41']) {
    assert.deepEqual(await kv.get(key), { value: null, metadata: null }, key);
    await kv.put(key, `value of ${key}`, { metadata: JSON.stringify({ key }) });
    assert.deepEqual(await kv.get(key), { value: `value of ${key}`, metadata: { key } });
    await kv.put(key, 'new');
    assert.deepEqual(await kv.get(key), { value: 'new', metadata: null });
    await kv.delete(key);
    assert.equal((await kv.get(key)).value, null);
  }
});

test('keys are listed by prefix, in order and in pages', async (t) => {
  const kv = kvOf(await startFixture(t));
  for (const key of ['s/3', 's/1', 't/1', 's/2', 's_1', 's/Ü']) await kv.put(key, 'x', { metadata: '{"rev":7}', ttl: 1000 });
  const all = await kv.list({ prefix: 's/' });
  assert.deepEqual(all.keys.map((key) => key.name), ['s/1', 's/2', 's/3', 's/Ü']);
  assert.equal(all.list_complete, true);
  assert.deepEqual(all.keys[0].metadata, { rev: 7 });
  assert.ok(all.keys[0].expiration > Date.now() / 1000 + 900);

  const first = await kv.list({ prefix: 's/', limit: 2 });
  assert.deepEqual([first.keys.length, first.list_complete], [2, false]);
  const second = await kv.list({ prefix: 's/', limit: 2, cursor: first.cursor });
  assert.deepEqual([second.keys.map((key) => key.name), second.list_complete], [['s/3', 's/Ü'], true]);
  assert.equal((await kv.list({ prefix: '' })).keys.length, 6);
});

test('many keys are read at once', async (t) => {
  const kv = kvOf(await startFixture(t));
  await kv.put('a/1', 'one');
  assert.deepEqual(await kv.bulk('a/1', 'a/2'), { 'a/1': 'one', 'a/2': null });
});

test('limits of Cloudflare hold here too', async (t) => {
  const kv = kvOf(await startFixture(t));
  await assert.rejects(kv.put('k', 'x', { ttl: 59 }));
  await assert.rejects(kv.put('k'.repeat(513), 'x'));
  await assert.rejects(kv.put('k', 'x', { metadata: JSON.stringify('m'.repeat(1025)) }));
});

test('an old value is served for the time asked for, by each way of reading', async (t) => {
  const kv = kvOf(await startFixture(t, { kvStaleMs: 60_000 }));
  await kv.put('k', 'one');
  assert.equal((await kv.get('k')).value, null);
  assert.deepEqual(await kv.bulk('k'), { k: null });
});

test('data survives a restart, and other object keys do not open it', async (t) => {
  const dataDir = temporaryFolder(t);
  const before = await startFixture(t, { dataDir });
  await kvOf(before).put('k', 'kept');
  await before.fetch('/admin/object', { method: 'POST', body: 'kept too' });
  await before.stop();

  const after = await startFixture(t, { dataDir });
  assert.equal((await kvOf(after).get('k')).value, 'kept');
  assert.equal(await (await after.fetch('/admin/object')).text(), 'kept too');
  await after.stop();

  fs.rmSync(path.join(dataDir, 'object-keys.json'));
  const lost = await startFixture(t, { dataDir });
  assert.equal(await (await lost.fetch('/admin/object')).text(), 'nothing');
});

test('loopback is out of reach unless it is allowed', async (t) => {
  const closed = await startFixture(t);
  const target = `/admin/fetch?url=${encodeURIComponent(`${closed.url}/events`)}`;
  assert.match(await (await closed.fetch(target)).text(), /^failed/);
  const open = await startFixture(t, { loopback: true });
  assert.equal(await (await open.fetch(target)).text(), 'answered 202');
});

test('secrets reach the Worker through the environment only', async (t) => {
  const dataDir = temporaryFolder(t);
  const secret = 'a-secret-that-is-nowhere-on-disk';
  const served = await startFixture(t, { dataDir, env: ['ADMIN_TOKEN'], set: { WINDOW: '3' }, environment: { ADMIN_TOKEN: secret } });
  const { bindings, wasm } = await (await served.fetch('/console.json')).json();
  assert.deepEqual(bindings.sort(), ['ADMIN_TOKEN', 'CONFIG', 'SOURCE', 'STREAM', 'TENANT', 'WINDOW']);
  assert.equal(wasm, true);
  for (const entry of fs.readdirSync(dataDir, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) assert.ok(!fs.readFileSync(path.join(entry.parentPath ?? entry.path, entry.name)).includes(secret), entry.name);
  }
});
