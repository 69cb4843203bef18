// Where things are: the checkout, its build output, and the cache that all checkouts of one user share.

import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** A path inside the checkout. */
export const inRoot = (...parts) => path.resolve(root, ...parts);

/** A path inside the shared cache: compiled tools live here, keyed by version, so that a second checkout is quick. */
export const inCache = (...parts) =>
  path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'heliograph', ...parts);

/** A program of an npm package, by its name in `node_modules/.bin`. */
export const npmBin = (name) => inRoot('node_modules/.bin', name);
