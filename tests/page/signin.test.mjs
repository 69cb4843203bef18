// Signing in where the Worker offers no development token, and where it has no operator token at all.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { met, open, picture, run, runButton, says, sharedOnly, worker } from './support.mjs';

test('the operator token is asked for, refused, accepted, kept for the tab and forgotten', { skip: sharedOnly }, async (t) => {
  const here = await worker({ development: false });
  const page = await open(t, here.url, { expected: [/status of 401/] });
  await met(page, 'Not signed in');
  await page.getByText(/asks for the operator token first/).waitFor();

  await runButton(page).click();
  const field = page.getByLabel('Operator token');
  assert.ok(await field.evaluate((it) => it === document.activeElement), 'the field has the focus');
  assert.equal(await field.getAttribute('type'), 'password');
  assert.equal(await field.getAttribute('autocomplete'), 'off');

  await field.fill('not-the-token');
  await page.getByRole('button', { name: 'Use this token' }).click();
  await says(page, /^Stopped at step 1: The Worker answered 401/);
  await page.getByText('The Worker did not accept that token.').waitFor();
  assert.ok(await field.evaluate((it) => it === document.activeElement), 'the field has the focus again');
  assert.equal(await field.inputValue(), '');
  await met(page, 'Not signed in');
  await picture(page, 'signin-refused');

  await field.fill(here.token);
  await page.keyboard.press('Enter');
  await says(page, /^Finished\. 13 steps/);
  await met(page, 'Signed in');
  assert.deepEqual(await page.evaluate((token) => [
    location.href.includes(token), JSON.stringify({ ...localStorage }).includes(token), document.documentElement.outerHTML.includes(token),
  ], here.token), [false, false, false]);

  await page.reload();
  await met(page, 'Signed in');
  await run(page);
  await page.getByRole('button', { name: 'Forget token' }).click();
  await met(page, 'Not signed in');
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await field.waitFor();
});

test('a Worker without an operator token says how to set one', { skip: sharedOnly }, async (t) => {
  const here = await worker({ development: false, admin: false });
  const page = await open(t, here.url);
  await met(page);
  await page.getByText('This Worker has no ADMIN_TOKEN, so it cannot be managed.').waitFor();
  await page.getByText('wrangler secret put ADMIN_TOKEN').waitFor();
});
