// The vendored library is the one that package-lock.json names.

import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';
import { inRoot } from '../../scripts/lib/paths.mjs';

test('www/vendor is current', () => promisify(execFile)(process.execPath, [inRoot('scripts/vendor.mjs'), '--check']));
