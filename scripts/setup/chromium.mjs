// The browser of the page's tests: Debian's Chromium, or the one that CHROMIUM names.

import fs from 'node:fs';
import { ensureDebianPackages } from './debian.mjs';

/** Returns the path of a Chromium. */
export async function ensureChromium() {
  const found = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
    .find((file) => file && fs.existsSync(file));
  if (found) return found;
  await ensureDebianPackages(['chromium'], 'to test the page in a browser (or set CHROMIUM to a Chromium or Chrome)', 'about 1 min, once');
  return '/usr/bin/chromium';
}
