// The page before and around a run: first paint, size, headers, routes, settings, and what it never keeps.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, test } from 'node:test';
import { met, open, picture, root, run, runButton, says, sharedOnly, step, worker } from './support.mjs';

let here;
before(async () => { here = await worker(); });

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html";
/** First load of Start: bodies as they went over the wire. */
const FIRST_LOAD = 55 * 1024;

const never = (page) => page.route('**/console.json', () => {}); // asked, and not answered

test('the first paint needs no answer from the API', async (t) => {
  const page = await open(t, here.url, { before: never });
  await page.getByRole('heading', { level: 1, name: 'Watch one event go all the way round' }).waitFor();
  for (const name of ['Run it', 'Replay slowly']) await page.getByRole('button', { name, exact: true }).waitFor();
  for (const lane of ['You', 'Transmitter', 'Receiver']) assert.ok(await page.getByText(lane, { exact: true }).first().isVisible());
  assert.match(await step(page, 13).innerText(), /Not yet/);
});

for (const [what, file] of [['the page has come alive', '**/app.js'], ['the Worker has said what it is', '**/console.json']]) {
  test(`a press before ${what} is not lost`, async (t) => {
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    const page = await open(t, here.url, {
      before: (page) => page.route(file, async (route) => { await held; await route.continue(); }),
      until: 'commit',
    });
    await runButton(page).click();
    release();
    await says(page, /^Finished\./);
  });
}

test('the static markup is the screen before anything has run', async (t) => {
  const plain = await open(t, here.url, { javaScriptEnabled: false });
  const alive = await open(t, here.url, { before: never });
  await alive.getByRole('tab', { includeHidden: true }).first().waitFor({ state: 'attached' });
  const words = async (page) => (await page.getByRole('main').innerText()).replace(/\s+/g, ' ').trim();
  assert.equal(await words(plain), await words(alive));
});

test('the first load stays within its bytes and moves nothing', async (t) => {
  const page = await open(t, here.url);
  await met(page);
  const loaded = await page.evaluate(() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .map(({ name, encodedBodySize, decodedBodySize }) => ({ name: new URL(name).pathname, sent: encodedBodySize, read: decodedBodySize })));
  const total = loaded.reduce((sum, { sent }) => sum + sent, 0);
  t.diagnostic(`${loaded.length} requests, ${total} bytes`);
  assert.ok(total > 20_000, 'the sizes were measured');
  assert.ok(total <= FIRST_LOAD, `${total} bytes`);
  assert.ok(loaded.every(({ sent, read }) => read < 1000 || sent < read), 'everything of size is compressed');
  assert.ok(await page.evaluate(() => window.shifts) < 0.02);
  await run(page);
  const shifts = await page.evaluate(() => window.shifts);
  assert.ok(shifts < 0.02, `layout shift ${shifts}`);
});

test('every file carries the headers that are specified', async () => {
  for (const path of ['/', '/app.js', '/css/base.css', '/favicon.svg', '/vendor/lit-html.js']) {
    const answer = await fetch(new URL(path, here.url));
    assert.equal(answer.status, 200, path);
    assert.equal(answer.headers.get('content-security-policy'), POLICY, path);
    assert.equal(answer.headers.get('referrer-policy'), 'no-referrer', path);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', path);
    assert.equal(answer.headers.get('cross-origin-opener-policy'), 'same-origin', path);
    assert.match(answer.headers.get('permissions-policy'), /camera=\(\)/, path);
    assert.equal(answer.headers.get('cache-control'), 'no-cache', path);
    assert.ok(answer.headers.get('etag'), path);
  }
  assert.notEqual((await fetch(new URL('/_headers', here.url))).status, 200);
});

test('no markup asks the policy for an exception', () => {
  const files = fs.readdirSync(`${root}/www`, { recursive: true }).filter((name) => /\.(js|html)$/.test(name) && !name.startsWith('vendor'));
  for (const name of files) {
    const text = fs.readFileSync(`${root}/www/${name}`, 'utf8');
    assert.doesNotMatch(text, /unsafe(HTML|SVG|Static)|innerHTML|insertAdjacentHTML|\bstyle=|javascript:|https?:\/\/(?!(schemas\.openid\.net|tour\.example|idp\.example\.com|www\.w3\.org))[a-z]/i, name);
    assert.doesNotMatch(text, /\son[a-z]+="/, name);
  }
});

test('address bar and storage never hold a secret', { skip: sharedOnly }, async (t) => {
  const page = await open(t, here.url);
  await met(page);
  const secrets = new Set([here.token]);
  page.on('response', async (response) => {
    const answer = await response.json().catch(() => ({}));
    for (const member of ['client_secret', 'access_token', 'authorization_header']) {
      if (answer?.[member]) secrets.add(answer[member].replace(/^Bearer /, ''));
    }
  });
  await run(page);
  assert.equal(secrets.size, 4);
  for (const n of [1, 2, 3, 4, 5, 6, 7, 9, 13]) await step(page, n).getByText(/^(Create|Register|Get|Ask|Grant|Publish|Push|Read)/).first().click();
  for (const name of ['Response', 'curl']) {
    for (const tab of await page.getByRole('tab', { name }).all()) if (await tab.isVisible()) await tab.click();
  }
  const kept = await page.evaluate(() => JSON.stringify([location.href, history.state, { ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML]));
  for (const secret of secrets) assert.ok(!kept.includes(secret), 'a secret is in the page, its address or its storage');
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, 'a development token is not stored');
  assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, '/');
});

test('an address without a screen says so and leads back', async (t) => {
  const page = await open(t, here.url, { at: '/#/nowhere' });
  await page.getByRole('heading', { level: 1, name: 'No such page' }).waitFor();
  assert.equal(await page.title(), 'No such page · Heliograph');
  await page.getByRole('link', { name: 'Go to Start' }).click();
  const heading = page.getByRole('heading', { level: 1, name: 'Watch one event go all the way round' });
  await heading.waitFor();
  assert.equal(await page.title(), 'Start · Heliograph');
  assert.ok(await heading.evaluate((it) => it === document.activeElement));
});

test('theme and times are remembered, and change everything at once', async (t) => {
  const page = await open(t, here.url, { colorScheme: 'light' });
  await met(page);
  await run(page);
  await step(page, 9).getByText('Push the SET').click();
  const sent = step(page, 9).getByRole('time').first();
  assert.match(await sent.innerText(), /CET|GMT\+1|UTC\+1|CEST|GMT\+2/);
  await page.getByRole('radio', { name: 'UTC' }).check();
  assert.match(await sent.innerText(), /UTC$/);
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  assert.equal(await paper(), 'rgb(250, 251, 252)');
  await page.getByRole('radio', { name: 'Dark' }).check();
  assert.equal(await paper(), 'rgb(14, 20, 27)');
  await page.reload();
  assert.equal(await paper(), 'rgb(14, 20, 27)');
  assert.ok(await page.getByRole('radio', { name: 'Dark' }).isChecked());
  assert.ok(await page.getByRole('radio', { name: 'UTC' }).isChecked());
});

test('at another address than its own the page says where to go', { skip: sharedOnly }, async (t) => {
  const first = await open(t, here.url);
  await met(first);
  await run(first); // the first operator request pins the origin
  const page = await open(t, `http://127.0.0.1:${here.port}`, {});
  await met(page);
  await page.getByText(/This Worker answers as http:\/\/localhost/).waitFor();
  const link = page.getByRole('link', { name: 'Open it there' });
  assert.equal(await link.getAttribute('href'), `${here.url}/`);
  await page.getByRole('button', { name: 'Run it' }).click();
  await says(page, /cannot run here/);
  assert.ok(await link.evaluate((it) => it === document.activeElement));
});

for (const colorScheme of ['light', 'dark']) {
  for (const [width, height] of [[390, 844], [1280, 900]]) {
    test(`pictures at ${width} px, ${colorScheme}`, async (t) => {
      const page = await open(t, here.url, { viewport: { width, height }, colorScheme, deviceScaleFactor: width < 700 ? 2 : 1 });
      await met(page);
      await picture(page, `start-${width}-${colorScheme}-before`);
      await run(page);
      await picture(page, `start-${width}-${colorScheme}-after`);
    });
  }
}
