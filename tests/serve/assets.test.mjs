// Static files under `npm run serve` behave as on Cloudflare.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import test from 'node:test';
import { gunzipSync } from 'node:zlib';
import { inRoot } from '../../scripts/lib/paths.mjs';
import { applyHeaders, parseHeadersFile } from '../../scripts/serve/headers-file.js';
import { startFixture } from './support.mjs';

const index = fs.readFileSync(inRoot('www/index.html'));

test('files are served with type, tag and headers, everything else reaches the Worker', async (t) => {
  const served = await startFixture(t);

  const page = await served.fetch('/');
  assert.equal(page.status, 200);
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'/);
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(await page.text(), index.toString());

  const script = await served.fetch('/theme.js');
  assert.equal(script.headers.get('content-type'), 'text/javascript; charset=utf-8');
  assert.equal((await served.fetch('/favicon.svg')).headers.get('content-type'), 'image/svg+xml');

  for (const unknown of ['/nowhere', '/css', '/css/', '/_headers', '/.git', '/%2e%2e/wrangler.toml', '/%00', '/%zz']) {
    const answer = await served.fetch(unknown);
    assert.deepEqual([answer.status, answer.headers.get('x-main')], [404, 'yes'], unknown);
  }
  const posted = await served.fetch('/theme.js', { method: 'POST', body: 'x' });
  assert.equal(posted.status, 405);
  const redirected = await served.fetch('/index.html?a=b', { redirect: 'manual' });
  assert.deepEqual([redirected.status, redirected.headers.get('location')], [307, '/?a=b']);
});

test('a file is sent again only when it changed', async (t) => {
  const served = await startFixture(t);
  for (const encoding of ['gzip', 'identity']) {
    const headers = { 'accept-encoding': encoding };
    const etag = (await served.fetch('/', { headers })).headers.get('etag');
    const again = await served.fetch('/', { headers: { ...headers, 'if-none-match': `"other", ${etag}` } });
    assert.equal(again.status, 304);
    assert.equal(again.headers.get('etag'), etag);
    assert.equal(await again.text(), '');
    assert.equal((await served.fetch('/', { headers: { ...headers, 'if-none-match': '"other"' } })).status, 200);
  }
});

test('text is compressed for those who accept it', async (t) => {
  const served = await startFixture(t);
  const zipped = await raw(`${served.url}/`, { 'accept-encoding': 'br, gzip;q=0.5' });
  assert.equal(zipped.headers['content-encoding'], 'gzip');
  assert.equal(zipped.headers.vary, 'accept-encoding');
  assert.deepEqual(gunzipSync(zipped.body), index);
  assert.ok(zipped.body.length < index.length);

  for (const accepted of [undefined, 'br', 'gzip;q=0']) {
    const plain = await raw(`${served.url}/`, accepted ? { 'accept-encoding': accepted } : {});
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.deepEqual(plain.body, index);
  }
});

test('HEAD says what GET would send', async (t) => {
  const served = await startFixture(t);
  const head = await raw(`${served.url}/`, {}, 'HEAD');
  assert.equal(head.headers['content-length'], String(index.length));
  assert.equal(head.body.length, 0);
});

test('paths of the API go straight to the Worker, with their bodies', async (t) => {
  const served = await startFixture(t);
  const body = 'x'.repeat(300_000);
  const answer = await served.fetch('/events', { method: 'POST', body });
  assert.equal(answer.status, 202);
  assert.equal(answer.headers.get('x-url'), `${served.url}/events`);
  assert.equal(await answer.text(), body);
});

test('a _headers file means what it means on Cloudflare', () => {
  const rules = parseHeadersFile(`
# a comment
/*
  X-All: 1
  Cache-Control: no-cache
/css/*
  X-All: 2
  X-Splat: got :splat
  ! Cache-Control
/people/:name
  X-Name: :name
https://other.example/*
  X-Host: yes
`);
  const of = (url) => {
    const headers = new Headers({ 'cache-control': 'public' });
    applyHeaders(rules, new URL(url), headers);
    return Object.fromEntries(headers);
  };
  assert.deepEqual(of('https://a.example/'), { 'x-all': '1', 'cache-control': 'no-cache' });
  assert.deepEqual(of('https://a.example/css/a/b.css'), { 'x-all': '1, 2', 'x-splat': 'got a/b.css' });
  assert.deepEqual(of('https://a.example/people/ana'), { 'x-all': '1', 'cache-control': 'no-cache', 'x-name': 'ana' });
  assert.deepEqual(of('https://a.example/people/ana/x'), { 'x-all': '1', 'cache-control': 'no-cache' });
  assert.equal(of('https://other.example/')['x-host'], 'yes');
});

/** A request whose answer is not decompressed on the way. */
function raw(url, headers, method = 'GET') {
  return new Promise((resolve, reject) => {
    http.request(url, { method, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks) }));
    }).on('error', reject).end();
  });
}
