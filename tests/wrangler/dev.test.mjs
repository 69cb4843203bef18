// `npm start`: wrangler runs the built Worker from wrangler.toml, with assets, objects and KV.

import assert from 'node:assert/strict';
import test from 'node:test';
import { eventually, freePort, startScript, temporaryFolder } from '../support.mjs';

const START_MS = 120_000;

test('wrangler dev serves the Worker and the page, and stops when told', async (t) => {
  const state = temporaryFolder(t);
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const started = startScript(t, 'start.mjs', ['--persist-to', state], { PORT: String(port) });

  let over = null;
  started.ended.then((end) => { over = end; });
  await eventually(() => over || started.output().includes(`Heliograph is running at ${url}`), START_MS, started.output);
  assert.equal(over, null, over?.output);
  const about = await fetch(`${url}/console.json`);
  assert.equal(about.status, 200, started.output());
  const { name, origin, development_token: token } = await about.json();
  assert.deepEqual([name, origin], ['Heliograph', url]);
  assert.ok(token, 'the page gets a token in development');
  assert.match(await (await fetch(url)).text(), /<title>/);

  // An operator's call goes through the tenant's object and its SQLite.
  const clients = await fetch(`${url}/admin/clients`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(clients.status, 200, await clients.text());

  // The description is a file, a named tenant's metadata the Worker's.
  const description = await (await fetch(`${url}/openapi.json`)).json();
  assert.match(description.openapi, /^3\.1\./);
  const created = await fetch(`${url}/admin/tenants`, {
    method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: '{"tenant":"acme"}',
  });
  assert.equal(created.status, 201, await created.text());
  const metadata = await (await fetch(`${url}/.well-known/ssf-configuration/t/acme`)).json();
  assert.equal(metadata.issuer, `${url}/t/acme`);

  await started.stop('SIGINT');
  await assert.rejects(fetch(url), 'nothing listens any more');
});
