// The page for everybody: by keyboard alone, on a small screen, with axe's rules, in forced colours.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { met, open, openStep, picture, run, says, step, violations, worker } from './support.mjs';

let here;
before(async () => { here = await worker(); });

async function openAll(page) {
  for (let n = 1; n <= 13; n += 1) {
    const it = step(page, n);
    await it.getByText(/^(Create|Register|Get|Ask|Grant|Read|Publish|Sign|Push|Fetch|Keys|Verify|Accept)/).first().click();
    const decoded = it.getByRole('tab', { name: 'Decoded' });
    if (await decoded.count() > 0) await decoded.click();
  }
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing, ${colorScheme}`, async (t) => {
    const page = await open(t, here.url, { colorScheme, bypassCSP: true });
    await met(page);
    assert.deepEqual(await violations(page), []);
    await run(page);
    assert.deepEqual(await violations(page), []);
    await openAll(page);
    assert.deepEqual(await violations(page), []);
  });
}

for (const width of [320, 720]) {
  test(`nothing is cut off sideways at ${width} px`, async (t) => {
    const page = await open(t, here.url, { viewport: { width, height: 700 } });
    await met(page);
    const wide = () => page.evaluate(() => document.scrollingElement.scrollWidth);
    assert.ok(await wide() <= width);
    await run(page);
    await picture(page, `start-${width}-after`);
    await openAll(page);
    assert.ok(await wide() <= width);
  });
}

test('on a small screen every target is at least 44 px high', async (t) => {
  const page = await open(t, here.url, { viewport: { width: 390, height: 844 } });
  await met(page);
  await run(page);
  await openStep(page, 9, 'Push the SET');
  const small = await page.evaluate(() => [...document.querySelectorAll('main :is(button, select, summary, input)')]
    .filter((it) => it.checkVisibility())
    .map((it) => [it.innerText, it.getBoundingClientRect().height])
    .filter(([, height]) => height < 44));
  assert.deepEqual(small, []);
});

test('everything is done by keyboard, and focus is always seen', async (t) => {
  const page = await open(t, here.url);
  await met(page);
  const focus = () => page.evaluate(() => {
    const it = document.activeElement;
    const seen = it.matches('.switch input') ? it.nextElementSibling : it;
    return { text: (it.innerText || it.closest('label')?.innerText || it.labels?.[0]?.innerText || '').replace(/\s+/g, ' ').trim(), outline: getComputedStyle(seen).outlineStyle, tag: it.tagName };
  });
  const tabTo = async (pattern) => {
    const passed = [];
    for (let n = 0; n < 60; n += 1) {
      await page.keyboard.press('Tab');
      const at = await focus();
      if (at.tag === 'BODY') break; // past the end
      assert.notEqual(at.outline, 'none', `focus is not seen on "${at.text}"`);
      if (pattern.test(at.text)) return at;
      passed.push(at.text);
    }
    return assert.fail(`never reached ${pattern}; passed ${passed.join(', ')}`);
  };

  await page.keyboard.press('Tab');
  assert.equal((await focus()).text, 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal((await focus()).tag, 'MAIN');
  await page.getByRole('heading', { level: 1, name: /Watch one event/ }).waitFor();

  await tabTo(/^Event$|Session revoked/);
  await tabTo(/^Run it$/);
  await page.keyboard.press('Enter');
  await says(page, /^Finished/);
  assert.match((await focus()).text, /^Run it again$/, 'focus stays where it was');

  const opened = () => step(page, 9).getByRole('tab', { name: 'Request' }).isVisible();
  await tabTo(/Push the SET/);
  await page.keyboard.press('Enter');
  assert.equal(await opened(), true);
  await tabTo(/^Request$/);
  await page.keyboard.press('ArrowRight');
  assert.equal((await focus()).text, 'Response');
  await page.keyboard.press('ArrowRight');
  assert.equal((await focus()).text, 'Decoded');
  await step(page, 9).getByText('Signature valid').waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await opened(), false);
  assert.match((await focus()).text, /Push the SET/, 'closing returns to the step');

  await tabTo(/^Delete it$/);
  await page.keyboard.press('Enter');
  await says(page, 'Deleted.');
  await tabTo(/^steps 1 to 6$/);
  await page.keyboard.press('Enter');
  assert.match((await focus()).text, /Register a client/, 'a link to a step goes there');
});

test('one word tells every status apart without colour, also in forced colours', async (t) => {
  const page = await open(t, here.url, { forcedColors: 'active' });
  await met(page);
  await picture(page, 'start-forced-before');
  await run(page);
  await picture(page, 'start-forced-after');
  for (let n = 1; n <= 13; n += 1) assert.match(await step(page, n).innerText(), /20[0-2]|Asked|Granted|Signed|Sent|Fetched|Cached|Stored/);
});

test('the page prints with every step open', async (t) => {
  const page = await open(t, here.url);
  await met(page);
  await run(page);
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  await page.emulateMedia({ media: 'print' });
  assert.ok(await step(page, 9).getByRole('region', { name: 'Decoded claims, step 9' }).isVisible());
});
