// The names that the Worker understands in its environment: the secrets and switches below, and every setting that
// src/edge/settings.json lists. The Worker refuses names it does not know, so nothing else may be passed.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { inRoot } from '../lib/paths.mjs';
import { Failure } from '../lib/run.mjs';

const BASIC = ['ADMIN_TOKEN', 'KEY_ENCRYPTION_KEY', 'PUBLIC_URL', 'ALLOW_LOOPBACK', 'DEVELOPMENT'];
const TABLE = 'src/edge/settings.json';

/** The names of all settings that `env` gives a value. */
export function settingsIn(env) {
  const table = fs.existsSync(inRoot(TABLE)) ? JSON.parse(fs.readFileSync(inRoot(TABLE), 'utf8')) : [];
  const names = new Set([...BASIC, ...table.map(({ name }) => name)]);
  return [...names].filter((name) => env[name] !== undefined && env[name] !== '');
}

/** A value for a secret: 32 random bytes in base64url. */
export const newSecret = () => randomBytes(32).toString('base64url');

/** Refuses a KEY_ENCRYPTION_KEY that is absent or not 32 bytes, and says how to make one. */
export function checkEncryptionKey(value) {
  const make = `node -p "crypto.randomBytes(32).toString('base64url')"`;
  if (!value) {
    throw new Failure(
      'KEY_ENCRYPTION_KEY is not set. It encrypts the private keys at rest: make one, keep it with your other secrets and\n'
      + `give the same one at every start; without it the stored keys are lost.\n\n  export KEY_ENCRYPTION_KEY=$(${make})`);
  }
  if (!/^[A-Za-z0-9_-]{43}$/.test(value)) throw new Failure(`KEY_ENCRYPTION_KEY is not 32 bytes in base64url (43 characters). Make one with: ${make}`);
}
