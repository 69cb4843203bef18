// Bundles the page's only library, lit-html with its `repeat` directive, into one ES module that the page can import
// without a build step and without network. The result is committed; `node scripts/vendor.mjs --check` says whether it is current.

import fs from 'node:fs';
import { inRoot, npmBin } from './lib/paths.mjs';
import { Failure, main, run } from './lib/run.mjs';
import { setup } from './setup.mjs';

const MODULE = 'www/vendor/lit-html.js';
const LICENSES = 'www/vendor/LICENSES.txt';

const ENTRY = `
export { html, svg, nothing, noChange, render } from 'lit-html';
export { repeat } from 'lit-html/directives/repeat.js';
`;

/** What both files should hold, by their paths in the checkout. */
export async function vendored() {
  const { version, license } = JSON.parse(fs.readFileSync(inRoot('node_modules/lit-html/package.json'), 'utf8'));
  const text = fs.readFileSync(inRoot('node_modules/lit-html/LICENSE'), 'utf8').trim();
  return {
    [MODULE]: await bundle(`/* lit-html ${version}, ${license}: see LICENSES.txt. Made by scripts/vendor.mjs. */`),
    [LICENSES]: `lit-html ${version} (${license}), in lit-html.js\n\n${text}\n`,
  };
}

async function bundle(banner) {
  const entry = inRoot('node_modules/.vendor-entry.mjs');
  fs.writeFileSync(entry, ENTRY);
  try {
    const args = [entry, '--bundle', '--format=esm', '--minify', '--target=es2022', '--legal-comments=none', `--banner:js=${banner}`];
    return (await run(npmBin('esbuild'), args)).stdout;
  } finally {
    fs.rmSync(entry);
  }
}

await main(async () => {
  await setup();
  for (const [file, wanted] of Object.entries(await vendored())) {
    const path = inRoot(file);
    if (fs.existsSync(path) && fs.readFileSync(path, 'utf8') === wanted) continue;
    if (process.argv.includes('--check')) throw new Failure(`${file} is not what package-lock.json gives. Run: node scripts/vendor.mjs`);
    fs.mkdirSync(inRoot('www/vendor'), { recursive: true });
    fs.writeFileSync(path, wanted);
    process.stderr.write(`wrote ${file}\n`);
  }
});
