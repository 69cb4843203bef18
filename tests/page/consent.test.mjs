// The handshake in the guided run (design 5, WH-4): both sides of it, the pace it sets, and an endpoint of one's own that
// grants at once, later, by the operator's hand, or not at all.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import { before, test } from 'node:test';
import { met, open, openStep, picture, run, runButton, says, sharedOnly, step, violations, worker } from './support.mjs';

let here;
before(async () => { here = await worker(); });

const LATER = { status: 200, headers: {} };
const YES = { status: 200, headers: { 'webhook-allowed-origin': 'localhost', 'webhook-allowed-rate': '600' } };

/** An endpoint on this machine that answers OPTIONS with what `answer` holds, and takes every push. */
async function endpoint(t, answer = LATER) {
  const it = { answer, asked: [], pushed: [] };
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (part) => { body += part; });
    request.on('end', () => {
      const asks = request.method === 'OPTIONS';
      (asks ? it.asked : it.pushed).push({ headers: request.headers, body, at: Date.now() });
      response.writeHead(asks ? it.answer.status : 202, asks ? it.answer.headers : {});
      response.end();
    });
  });
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  t.after(() => { server.closeAllConnections(); server.close(); });
  it.url = `http://localhost:${server.address().port}/events/in`;
  it.callback = (headers) => fetch(it.asked.at(-1).headers['webhook-request-callback'], { method: 'POST', headers });
  return it;
}

async function aim(page, url) {
  await page.getByRole('combobox', { name: 'To', exact: true }).selectOption({ label: 'My endpoint' });
  await page.getByRole('textbox', { name: 'Endpoint URL' }).fill(url);
}

/** Milliseconds between the push that step 9 shows and the request before it. */
async function gap(page) {
  const [, figure, unit] = (await step(page, 9).innerText()).match(/Since the request before\s+([\d.]+) (m?s)/);
  return Number(figure) * (unit === 's' ? 1000 : 1);
}

const WAITING = /^Waiting for your endpoint to grant\. It was asked to call back\./;

test('the endpoint is asked and grants before anything is sent, and both sides are shown', async (t) => {
  const page = await open(t, here.url);
  await met(page);
  await run(page);
  assert.match(await step(page, 5).innerText(), /Ask for consent[\s\S]+OPTIONS \/receive\/[\s\S]+Asked/);
  assert.match(await step(page, 6).innerText(), /Grant: 60 a minute[\s\S]+Granted/);

  await openStep(page, 5, 'Ask for consent');
  const asked = await step(page, 5).getByRole('region', { name: 'Raw request, step 5' }).innerText();
  assert.match(asked, /^OPTIONS \/receive\//);
  assert.match(asked, /webhook-request-origin: localhost/i);
  assert.match(asked, /webhook-request-rate: 600/i);
  assert.match(asked, /webhook-request-callback: .+\/handshake\/.+•••/i);
  await step(page, 5).getByRole('tab', { name: 'Response' }).click();
  assert.match(await step(page, 5).getByRole('region', { name: 'Raw response, step 5' }).innerText(), /^200[\s\S]+webhook-allowed-rate: 60/i);

  await openStep(page, 6, 'Grant: 60 a minute');
  await step(page, 6).getByText(/^Granted 60 requests a minute until .+\.$/).waitFor();
  await step(page, 6).getByText(/this time as the receiver recorded it/).waitFor();
  const answered = await step(page, 6).getByRole('region', { name: 'Raw response, step 6' }).innerText();
  assert.match(answered, /^200[\s\S]+webhook-allowed-origin: localhost/i);
  await step(page, 6).getByRole('tab', { name: 'Request' }).click();
  assert.match(await step(page, 6).getByRole('region', { name: 'Raw request, step 6' }).innerText(), /webhook-request-origin: localhost/i);

  await openStep(page, 9, 'Push the SET');
  assert.match(await step(page, 9).innerText(), /Pace\s+60 a minute, one at a time/);
  await picture(page, 'consent-granted');
  assert.ok(await gap(page) > 900, 'the question counts, so the push waits its second');

  await t.test('a consent that stands is not asked for again', async () => {
    await runButton(page).click();
    await page.getByText(/^7 steps/).waitFor();
    assert.match(await step(page, 6).innerText(), /Granted/);
    assert.ok(await gap(page) > 900, 'pushes keep their distance');
  });
});

test('an endpoint of one\'s own is waited for, and nothing is sent until it calls back', { skip: sharedOnly }, async (t) => {
  const it = await endpoint(t);
  const page = await open(t, here.url);
  await met(page);
  await aim(page, it.url);
  await run(page, WAITING);
  assert.match(await step(page, 5).innerText(), /Wait for the grant[\s\S]+Pending/);
  await step(page, 5).getByText(/Nothing is sent until it grants/).waitFor();
  assert.match(await step(page, 5).getByRole('region', { name: 'Command, step 5' }).innerText(), /\/grant'$/);
  assert.match(await step(page, 6).innerText(), /Not yet/);
  assert.deepEqual(it.pushed, []);

  assert.equal((await it.callback({ 'webhook-allowed-rate': '120' })).status, 200);
  assert.match(await says(page, /^Finished/), /^Finished\. 9 steps/);
  assert.match(await step(page, 5).innerText(), /Grant: 120 a minute[\s\S]+called back/);
  assert.equal(it.pushed.length, 1);
  assert.equal(it.pushed[0].headers['webhook-request-origin'], 'localhost');
  assert.match(await step(page, 9).innerText(), /Accept[\s\S]+202/);
  await openStep(page, 8, 'Push the SET');
  await step(page, 8).getByRole('tab', { name: 'Decoded' }).click();
  await step(page, 8).getByText('Signature valid').waitFor();
  const secret = it.asked[0].headers['webhook-request-callback'].split('/').at(-1);
  assert.ok(secret.length > 20);
  assert.equal(await page.evaluate((text) => document.documentElement.outerHTML.includes(text), secret), false);

  await runButton(page).click();
  await page.getByText(/^4 steps/).waitFor();
  assert.equal(it.asked.length, 1, 'its consent stands');
  assert.equal(it.pushed.length, 2);
});

test('the operator grants in the endpoint\'s place, on the page or in a shell', { skip: sharedOnly }, async (t) => {
  const it = await endpoint(t);
  const page = await open(t, here.url);
  await met(page);
  await aim(page, it.url);
  await run(page, WAITING);
  await step(page, 5).getByRole('button', { name: 'Ask again' }).click();
  await says(page, 'It is asked again');
  await step(page, 5).getByRole('button', { name: 'Grant by hand', exact: true }).click();
  await says(page, /^Finished\. 9 steps/);
  assert.match(await step(page, 5).innerText(), /You to Transmitter[\s\S]+Grant by hand: 600 a minute/);
  assert.ok(await step(page, 5).evaluate((row) => row.querySelector('summary') === document.activeElement), 'focus stays with the step');

  const second = await endpoint(t);
  await page.getByRole('textbox', { name: 'Endpoint URL' }).fill(second.url);
  await run(page, WAITING);
  const command = await step(page, 5).getByRole('region', { name: 'Command, step 5' }).first().innerText();
  assert.ok(!command.includes(here.token));
  const grant = JSON.parse(execFileSync('sh', ['-c', command], { env: { PATH: process.env.PATH, TOKEN: here.token }, encoding: 'utf8' }));
  assert.equal(grant.state, 'granted');
  await says(page, /^Finished\. 9 steps/);
  assert.equal(second.pushed.length, 1);

  const gone = [];
  page.on('response', (response) => response.request().method() === 'DELETE' && gone.push(response.status()));
  await page.getByText(/What earlier runs made is still there, too/).waitFor();
  await page.getByRole('button', { name: 'Delete it' }).click();
  await says(page, 'Deleted.');
  assert.deepEqual(gone, [204, 204], 'both clients');
});

for (const [what, answer, title, badge] of [
  ['that refuses', { status: 403, headers: {} }, 'Your endpoint did not consent', 'Denied'],
  ['that allows somebody else', { status: 200, headers: { 'webhook-allowed-origin': 'other.example', 'webhook-allowed-rate': '60' } }, 'Your endpoint did not consent', 'Denied'],
  ['that does not know the handshake', { status: 405, headers: { allow: 'POST' } }, 'Your endpoint does not speak the handshake', 'Unsupported'],
]) {
  test(`at an endpoint ${what} the run stops, says why, and goes on once it has changed its mind`, { skip: sharedOnly }, async (t) => {
    const it = await endpoint(t, answer);
    const page = await open(t, here.url);
    await met(page);
    await aim(page, it.url);
    assert.equal(await run(page, /^Stopped/), `Stopped at step 5: ${title}`);
    assert.ok((await step(page, 5).innerText()).includes(badge));
    await step(page, 5).getByText(/run again from here/).waitFor();
    assert.deepEqual(it.pushed, []);
    await picture(page, `consent-${badge.toLowerCase()}`);

    it.answer = YES;
    await page.getByRole('button', { name: 'Run again from here' }).click();
    assert.match(await says(page, /^Finished/), /9 steps/);
    assert.equal(it.asked.length, 2);
    assert.equal(it.pushed.length, 1);
  });
}

test('an endpoint that cannot be reached is asked again, and the page says when', { skip: sharedOnly }, async (t) => {
  const it = await endpoint(t, { status: 503, headers: {} });
  const page = await open(t, here.url);
  await met(page);
  await aim(page, it.url);
  assert.match(await run(page, /^Waiting/), /It answered 503\. It is asked again at \d/);
  await page.getByRole('button', { name: 'Stop' }).click();
  await says(page, 'Stopped at step 5');
  it.answer = YES;
  await runButton(page).click();
  await step(page, 5).getByRole('button', { name: 'Ask again' }).click();
  await says(page, /^Finished\. 9 steps/);
});

test('without an address the page asks for one, and the Worker has the last word on it', async (t) => {
  const page = await open(t, here.url, { expected: [/status of 400 .*streams$/] });
  await met(page);
  await aim(page, '');
  await runButton(page).click();
  await says(page, /^Enter the whole address/);
  const field = page.getByRole('textbox', { name: 'Endpoint URL' });
  assert.ok(await field.evaluate((it) => it === document.activeElement));
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  await field.fill('http://not-public.example/in');
  assert.equal(await field.getAttribute('aria-invalid'), 'false');
  await field.press('Enter');
  await says(page, /^Stopped at step 3: The Worker answered 400/);
  await page.getByText(/endpoint_url/).first().waitFor();
});

test('another target starts afresh, and what was made before can still be deleted', async (t) => {
  const it = await endpoint(t, YES);
  const page = await open(t, here.url);
  await met(page);
  await run(page);
  await aim(page, it.url);
  await page.getByText('What earlier runs made is still there.').waitFor();
  assert.match(await step(page, 1).innerText(), /Not yet/);
  assert.match(await page.locator('.lanes').innerText(), /Your endpoint/);
  if (!sharedOnly) assert.match(await run(page), /^Finished\. 9 steps/);
  const gone = [];
  page.on('response', (response) => response.request().method() === 'DELETE' && gone.push(response.status()));
  await page.getByRole('button', { name: 'Delete it' }).click();
  await says(page, 'Deleted.');
  assert.deepEqual(gone, sharedOnly ? [204, 204] : [204, 204, 204]);
});

for (const colorScheme of ['light', 'dark']) {
  for (const [width, height] of [[390, 844], [1280, 900]]) {
    test(`waiting for consent at ${width} px, ${colorScheme}: nothing for axe, nothing cut off`, { skip: sharedOnly }, async (t) => {
      const it = await endpoint(t);
      const page = await open(t, here.url, { viewport: { width, height }, colorScheme, bypassCSP: true });
      await met(page);
      await aim(page, it.url);
      await run(page, WAITING);
      assert.deepEqual(await violations(page), []);
      assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth) <= width);
      const target = width < 720 ? 44 : 32;
      const small = await page.evaluate((least) => [...document.querySelectorAll('main :is(button, select, summary, input)')]
        .filter((control) => control.checkVisibility() && control.getBoundingClientRect().height < least)
        .map((control) => control.innerText), target);
      assert.deepEqual(small, []);
      await picture(page, `consent-waiting-${width}-${colorScheme}`);
    });
  }
}
