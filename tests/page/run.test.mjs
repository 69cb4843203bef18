// The guided run against the real Worker: pressed once, watched, repeated, replayed, cleaned up.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, test } from 'node:test';
import { met, open, openStep, picture, run, runButton, says, sharedOnly, step, worker } from './support.mjs';

let here;
before(async () => { here = await worker(); });

const LABELS = [
  'Register a client', 'Get an access token', 'Create a source', 'Create a stream', 'Ask for consent', 'Grant: 60 a minute',
  'Publish session-revoked', 'Sign the SET', 'Push the SET', null, 'Verify and store', 'Accept', 'Read the inbox',
];

test('one press carries an event all the way round', async (t) => {
  const page = await open(t, here.url);
  await met(page, 'Development token');
  assert.match(await run(page), /^Finished\. 13 steps, .+ (milli)?seconds?/);

  for (const [i, label] of LABELS.entries()) {
    const text = await step(page, i + 1).innerText();
    if (label) assert.ok(text.includes(label), `step ${i + 1} is ${text}`);
    assert.doesNotMatch(text, /Not yet|Working|Failed/, `step ${i + 1}`);
  }
  assert.match(await step(page, 7).innerText(), /202/);
  assert.match(await step(page, 10).innerText(), /Fetched|Cached/);
  assert.match(await step(page, 11).innerText(), /Stored/);
  assert.match(await step(page, 12).innerText(), /202/);
  await page.getByText(/13 steps · .+ total/).waitFor();

  await t.test('the pushed token is decoded, and its signature is verified in the browser', async () => {
    await openStep(page, 9, 'Push the SET');
    await step(page, 9).getByRole('tab', { name: 'Decoded' }).click();
    await step(page, 9).getByText('Signature valid').waitFor();
    const claims = await step(page, 9).getByRole('region', { name: 'Decoded claims, step 9' }).innerText();
    assert.match(claims, /"https:\/\/schemas\.openid\.net\/secevent\/caep\/event-type\/session-revoked"/);
    assert.match(claims, /"email": "ana@example\.com"/);
    assert.ok(claims.includes(`"iss": "${new URL(here.url).origin}"`), claims);
    const header = await step(page, 9).getByRole('region', { name: 'Decoded header, step 9' }).innerText();
    assert.match(header, /"typ": "secevent\+jwt"/);
  });

  await t.test('both sides of the push are shown as recorded', async () => {
    await step(page, 9).getByRole('tab', { name: 'Request' }).click();
    const request = await step(page, 9).getByRole('region', { name: 'Raw request, step 9' }).innerText();
    assert.match(request, /^POST \/receive\//);
    assert.match(request, /content-type: application\/secevent\+jwt/i);
    assert.match(request, /authorization: •••/i);
    await step(page, 9).getByRole('tab', { name: 'Response' }).click();
    assert.match(await step(page, 9).getByRole('region', { name: 'Raw response, step 9' }).innerText(), /^202/);
  });

  await t.test('the receiver stored the very bytes that were pushed', async () => {
    await openStep(page, 11, 'Verify and store');
    assert.match(await step(page, 11).innerText(), /Bytes\s+the same as were pushed/);
  });

  await t.test('the inbox lists the event', async () => {
    await openStep(page, 13, 'Read the inbox');
    await step(page, 13).getByRole('tab', { name: 'Response' }).click();
    const inbox = await step(page, 13).getByRole('region', { name: 'Raw response, step 13' }).innerText();
    assert.match(inbox, /"type": ".+session-revoked"/);
    assert.match(inbox, /"cursor"/);
  });

  await t.test('the curl text works in a shell', { skip: sharedOnly }, async () => {
    await step(page, 13).getByRole('tab', { name: 'curl' }).click();
    const command = await step(page, 13).getByRole('region', { name: 'Command, step 13' }).innerText();
    assert.ok(!command.includes(here.token));
    const answer = JSON.parse(execFileSync('sh', ['-c', command], { env: { PATH: process.env.PATH, TOKEN: here.token }, encoding: 'utf8' }));
    assert.equal(answer.events.length, 1);
  });

  await picture(page, 'run-opened');
});

test('running again reuses the set-up; every example is accepted and arrives', async (t) => {
  const page = await open(t, here.url);
  await met(page);
  await run(page);
  await page.getByRole('button', { name: 'Keep it' }).click();
  await page.getByText(/^Kept: a client, a stream and a source/).waitFor();

  for (const title of ['Credential change', 'Device compliance change', 'Assurance level change', 'Risk level change']) {
    await page.getByLabel('Event').selectOption({ label: title });
    const name = title.toLowerCase().replaceAll(' ', '-');
    await runButton(page).click();
    await step(page, 7).filter({ hasText: `Publish ${name}` }).waitFor();
    assert.match(await says(page, /^Finished/), /7 steps/);
    await page.getByText('Keys already known').waitFor();
  }
  await page.getByText('Set-up, 4 steps').waitFor();
  assert.equal(await page.getByText('Create a stream').isVisible(), false, 'the set-up is folded');

  await openStep(page, 13, 'Read the inbox');
  await step(page, 13).getByRole('tab', { name: 'Decoded' }).click();
  assert.match(await step(page, 13).getByRole('region', { name: 'Decoded claims, step 13' }).innerText(), /IMPOSSIBLE_TRAVEL/);
});

test('what a run made can be deleted, and the next run starts afresh', async (t) => {
  const page = await open(t, here.url);
  await met(page);
  await run(page);
  const gone = [];
  page.on('response', (response) => response.request().method() === 'DELETE' && gone.push(response.status()));
  await page.getByRole('button', { name: 'Delete it' }).click();
  await says(page, 'Deleted.');
  assert.deepEqual(gone, [204, 204]);
  await page.getByText(/Deleted: the client, its stream and the source/).waitFor();
  assert.match(await run(page), /^Finished\. 13 steps/);
});

test('a finished run is replayed step by step', async (t) => {
  const page = await open(t, here.url, { reducedMotion: 'reduce' });
  await met(page);
  await run(page);
  await page.getByRole('button', { name: 'Replay slowly' }).click();
  await page.getByText('Replaying step 1 of 13').waitFor();
  assert.match(await step(page, 2).innerText(), /Not yet/);
  await page.getByRole('button', { name: 'Next step' }).click();
  await page.getByText('Replaying step 2 of 13').waitFor();
  assert.match(await step(page, 2).innerText(), /200/);
  await page.getByRole('button', { name: 'Stop' }).click();
  assert.match(await step(page, 13).innerText(), /200/);
});

test('the replay goes on by itself where motion is welcome', async (t) => {
  const page = await open(t, here.url);
  await met(page);
  await run(page);
  await page.getByRole('button', { name: 'Replay slowly' }).click();
  await page.getByText('Replaying step 3 of 13').waitFor();
});

test('every request can be seen and copied before it is sent', async (t) => {
  const page = await open(t, here.url, { permissions: ['clipboard-read', 'clipboard-write'] });
  await met(page);
  await openStep(page, 4, 'Create a stream');
  await step(page, 4).getByRole('button', { name: 'Copy as curl, step 4' }).click();
  await says(page, 'Copied');
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(command, /"authorization: Bearer \$ACCESS_TOKEN"/);
  assert.match(command, /"\$RECEIVER_AUTH"/);
  await run(page);
});

test('when the stream is gone, the page says so and makes a new one', { skip: sharedOnly }, async (t) => {
  const page = await open(t, here.url, { expected: [/status of 404 .*grant$/] });
  await met(page);
  const answers = {};
  page.on('response', async (response) => {
    const path = new URL(response.url()).pathname;
    if (response.request().method() === 'POST') answers[path] = await response.json().catch(() => null);
  });
  await run(page);
  const dropped = await fetch(`${here.url}/ssf/streams?stream_id=${answers['/ssf/streams'].stream_id}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${answers['/oauth/token'].access_token}` },
  });
  assert.equal(dropped.status, 204);

  await run(page, /^Stopped at step 5/);
  await page.getByText('What this run made is gone. Running again makes it anew.', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Run again from here' }).click();
  assert.match(await says(page, /^Finished/), /13 steps/);
});

test('when the Worker stops, the page says so, and goes on once it is back', { skip: sharedOnly }, async (t) => {
  const page = await open(t, here.url, { expected: [/ERR_FAILED/] });
  await met(page);
  await page.route('**/ssf/streams', (route) => route.abort());
  await run(page, /^Stopped at step 4: This page could not reach its Worker/);
  await page.getByText(/Check that the Worker is running/).waitFor();
  assert.match(await step(page, 7).innerText(), /Not yet/);
  await picture(page, 'run-stopped');
  await page.unroute('**/ssf/streams');
  await page.getByRole('button', { name: 'Run again from here' }).click();
  assert.match(await says(page, /^Finished/), /13 steps/);
  assert.equal(await runButton(page).innerText(), 'Run it again');
});

test('a run can be stopped, and run again', async (t) => {
  const page = await open(t, here.url);
  await met(page);
  await page.route('**/events', () => {}, { times: 1 }); // asked, and not answered
  await runButton(page).click();
  await step(page, 7).filter({ hasText: 'Working' }).waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  assert.equal(await says(page, /^Stopped/), 'Stopped at step 7');
  assert.match(await step(page, 7).innerText(), /Stopped/);
  await run(page);
});
