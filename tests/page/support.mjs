// What every test of the page needs: the real Worker on plain workerd with a fresh data folder,
// one headless Chromium per file, and pages that fail the test on anything they complain about.
//
// HELIOGRAPH_BUILD names the build (default build/quick). HELIOGRAPH_URL tests a Worker that already
// runs in development mode instead; tests that need a Worker of their own are skipped then.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const artifacts = path.join(root, 'artifacts', 'page');

/** A test that waits longer than this has failed. */
export const PATIENCE_MS = 20_000;

/** Set when a running Worker is tested: why a test that starts its own is skipped. */
export const sharedOnly = process.env.HELIOGRAPH_URL ? 'HELIOGRAPH_URL is set: this test needs a Worker of its own' : false;

// Registered while the file loads, so that it belongs to the file and not to the test that happened to come first.
const endings = [];
after(async () => {
  for (const end of endings.reverse()) await end();
});

/**
 * Starts the Worker. Returns `{ url, port, token, stop() }`. Without `development` the page is not offered a token;
 * without `admin` there is none. It ends with the test file.
 */
export async function worker({ development = true, admin = true, settings = {} } = {}) {
  if (process.env.HELIOGRAPH_URL) return { url: process.env.HELIOGRAPH_URL, token: null, stop: async () => {} };
  const { writeConfig } = await import('../../scripts/serve/config.mjs');
  const { startWorkerd } = await import('../../scripts/serve/workerd.mjs');
  const port = await freePort();
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'heliograph-page-'));
  const token = `operator-${randomBytes(12).toString('hex')}`;
  const env = {
    KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64url'),
    ALLOW_LOOPBACK: '1',
    HANDSHAKES_PER_HOST: '1000', // every run asks an endpoint on this machine
    ...(admin ? { ADMIN_TOKEN: token } : {}),
    ...(development ? { DEVELOPMENT: '1' } : {}),
    ...settings,
  };
  const config = writeConfig({ dataDir, port, build: process.env.HELIOGRAPH_BUILD ?? 'build/quick', env: Object.keys(env), loopback: true });
  const running = await startWorkerd({ config, url: `http://127.0.0.1:${port}`, env });
  let stopped = false;
  const stop = async () => {
    if (stopped) return;
    stopped = true;
    await running.stop();
    fs.rmSync(dataDir, { recursive: true, force: true });
  };
  endings.push(stop);
  return { url: `http://localhost:${port}`, port, token, stop };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

let browser;

async function theBrowser() {
  if (!browser) {
    browser = chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
    endings.push(async () => (await browser).close());
  }
  return browser;
}

/**
 * Opens a page that watches itself. At the end of the test it must have logged no error, thrown nothing, violated no
 * policy and asked no other origin for anything; `expected` lists the console errors that the test is about.
 * `options` are Playwright's for a context; `before` prepares the page before it is loaded.
 */
export async function open(t, url, { expected = [], before, at = '/', until = 'load', ...options } = {}) {
  const context = await (await theBrowser()).newContext({ viewport: { width: 1280, height: 900 }, timezoneId: 'Europe/Berlin', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const origin = new URL(url).origin;
  const complaints = [];
  const complain = (text) => {
    if (!expected.some((pattern) => pattern.test(text))) complaints.push(text);
  };
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complain(`console: ${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => complain(`page error: ${error.stack}`));
  page.on('request', (request) => {
    const to = new URL(request.url());
    if (to.origin !== origin) complain(`request to another origin: ${to}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`));
    window.shifts = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await before?.(page);
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(new URL(at, url).href, { waitUntil: until });
  return page;
}

/** Waits until the page knows who the reader is: it has asked the Worker about itself. */
export async function met(page, words = /Development token|Signed in|Not signed in/) {
  await page.getByRole('banner').getByText(words).waitFor();
}

/** What the page says to a screen reader, once it says something that matches. */
export async function says(page, pattern) {
  const status = page.getByRole('status').filter({ hasText: pattern });
  await status.waitFor({ state: 'attached' });
  return status.textContent();
}

export const runButton = (page) => page.getByRole('button', { name: /^Run it/ });

/** Presses the button and waits for the end of the run. */
export async function run(page, outcome = /^Finished\./) {
  await runButton(page).click();
  return says(page, outcome);
}

/** A step of the diagram by its number. */
export function step(page, number) {
  return page.getByRole('listitem').filter({ has: page.locator('summary'), hasText: new RegExp(`^\\s*${number}\\s*(You|Transmitter|Receiver)`) });
}

/** Opens a step by pressing what it is called. */
export async function openStep(page, number, label) {
  await step(page, number).getByText(label, { exact: true }).click();
}

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** What axe has to say about the page as it stands; the page was opened with `bypassCSP`. */
export async function violations(page) {
  await page.evaluate(fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  const { violations: found } = await page.evaluate((values) => axe.run(document, { runOnly: { type: 'tag', values } }), RULES);
  return found.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).slice(0, 3).join(' | ')}`);
}

/** Keeps a picture of the whole page, outside git. */
export async function picture(page, name) {
  fs.mkdirSync(artifacts, { recursive: true });
  await page.evaluate(() => scrollTo(0, 0)); // the heads of the lanes stick to the top of the view
  await page.screenshot({ path: path.join(artifacts, `${name}.png`), fullPage: true });
}
