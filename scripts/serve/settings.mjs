// The names that the Worker understands in its environment: those of src/edge/settings.json. It refuses names that it does
// not know, so nothing else may be passed.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { inRoot } from '../lib/paths.mjs';
import { Failure } from '../lib/run.mjs';

/** The names of all settings that `env` gives a value. */
export function settingsIn(env) {
  const table = JSON.parse(fs.readFileSync(inRoot('src/edge/settings.json'), 'utf8'));
  return table.map(({ name }) => name).filter((name) => env[name] !== undefined && env[name] !== '');
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
