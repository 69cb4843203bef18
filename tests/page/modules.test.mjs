// The page's modules that need no browser: foreign text, curl text, durations, signatures.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { webcrypto } from 'node:crypto';
import { test } from 'node:test';
import { text as curlText, variables, word } from '../../www/curl.js';
import { decode, verify } from '../../www/jose.js';
import { SHOWN, body, line, middle, path, visible } from '../../www/text.js';
import { spoken, took } from '../../www/time.js';

const slot = (name) => `\uE000${name}\uE001`;

test('characters that act are shown as code points', () => {
  assert.equal(visible('a\u202Eb\u0000c\u200Dd'), 'a\\u202eb\\u0000c\\u200dd');
  assert.equal(visible('tab\tand\nnewline'), 'tab\tand\nnewline');
  assert.equal(line('two\n lines'), 'two lines');
  assert.equal(line('x'.repeat(500), 10), 'xxxxxxxxx…');
  assert.equal(middle('0123456789abcdefghij', 4), '0123…ghij');
  assert.equal(path(`/receive/${'a'.repeat(60)}zz`), '/receive/aaaa…aazz');
});

test('a long body is clipped, and the page knows by how much', () => {
  assert.deepEqual(body('short'), { text: 'short', left: 0 });
  assert.equal(body('x'.repeat(SHOWN + 7)).left, 7);
  assert.equal(body('x'.repeat(SHOWN + 7)).text.length, SHOWN);
});

test('the shell reads a word back as it was, with its variables filled in', () => {
  const env = { PATH: process.env.PATH, TOKEN: 'to"k$e`n\'', OTHER: 'b' };
  for (const [text, wanted] of [
    ['plain', 'plain'],
    ["it's", "it's"],
    ['$TOKEN `id` "x" \\ !', '$TOKEN `id` "x" \\ !'],
    [`authorization: Bearer ${slot('TOKEN')}`, `authorization: Bearer ${env.TOKEN}`],
    [`{"a":"${slot('TOKEN')}","b":"it's ${slot('OTHER')}"}`, `{"a":"${env.TOKEN}","b":"it's b"}`],
    ['', ''],
    ['two\nlines', 'two\nlines'],
  ]) {
    assert.equal(execFileSync('sh', ['-c', `printf %s ${word(text)}`], { env, encoding: 'utf8' }), wanted);
  }
});

test('a command names the variables it needs, and no secret', () => {
  const command = curlText({
    method: 'POST', url: `http://localhost/a/${slot('SOURCE_ID')}`, body: `{"x":"${slot('RECEIVER_AUTH')}"}`,
    headers: [['authorization', `Bearer ${slot('TOKEN')}`], ['accept', 'application/json']],
  });
  assert.deepEqual(variables(command).sort(), ['RECEIVER_AUTH', 'SOURCE_ID', 'TOKEN']);
  assert.match(command, /^curl -sS -X POST \\\n {2}-H "authorization: Bearer \$TOKEN"/);
});

test('durations have no more digits than mean something', () => {
  assert.deepEqual([0, 0.4, 1, 4.12, 9.96, 31.4, 999.6, 1234, 15000].map(took),
    ['<1 ms', '<1 ms', '1 ms', '4.1 ms', '10 ms', '31 ms', '1.00 s', '1.23 s', '15.0 s']);
  assert.deepEqual([0.2, 1, 31.4, 2500].map(spoken), ['less than a millisecond', '1 millisecond', '31 milliseconds', '2.5 seconds']);
});

const b64 = (data) => Buffer.from(data).toString('base64url');

async function signer(kid, algorithm, alg) {
  const { privateKey, publicKey } = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const key = { ...await webcrypto.subtle.exportKey('jwk', publicKey), kid, alg };
  const how = algorithm.name === 'ECDSA' ? { name: 'ECDSA', hash: 'SHA-256' } : algorithm.name;
  const sign = async (header, claims = { iss: 'https://t.example' }) => {
    const signed = `${b64(JSON.stringify(header))}.${b64(JSON.stringify(claims))}`;
    return `${signed}.${b64(Buffer.from(await webcrypto.subtle.sign(how, privateKey, Buffer.from(signed))))}`;
  };
  return { key, sign };
}

const RSA = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' };
const EC = { name: 'ECDSA', namedCurve: 'P-256' };

test('signatures are checked with the algorithm of the key', async () => {
  const rsa = await signer('r', RSA, 'RS256');
  const ec = await signer('e', EC, 'ES256');
  const keys = { keys: [rsa.key, ec.key] };
  const verdict = async (token) => (await verify(decode(token), keys)).kind;

  assert.equal(await verdict(await rsa.sign({ alg: 'RS256', kid: 'r' })), 'ok');
  assert.equal(await verdict(await ec.sign({ alg: 'ES256', kid: 'e' })), 'ok');
  assert.equal(await verdict(await ec.sign({ alg: 'ES256', kid: 'r' })), 'bad', 'another key');
  assert.equal(await verdict(await rsa.sign({ alg: 'RS256', kid: 'x' })), 'bad', 'a key nobody knows');
  assert.equal(await verdict(await rsa.sign({ alg: 'none', kid: 'r' })), 'bad', 'alg none');
  const good = await rsa.sign({ alg: 'RS256', kid: 'r' }, { sub: 'a' });
  const [header, , signature] = good.split('.');
  assert.equal(await verdict(`${header}.${b64('{"sub":"b"}')}.${signature}`), 'bad', 'changed claims');
  assert.equal(await verdict(good.slice(0, -8)), 'bad', 'a cut signature');
  assert.equal((await verify(decode('not a token'), keys)).kind, 'bad');
});

test('what is decoded is exactly what was signed', () => {
  const claims = '{ "big": 12345678901234567890, "a":1, "a":2 }';
  const token = decode(`${b64('{"alg":"RS256"}')}.${b64(claims)}.c2ln`);
  assert.equal(token.claimsText, claims);
  assert.equal(decode('a.b'), null);
  assert.equal(decode(`${b64('{}')}.${b64('nonsense')}.x`), null);
});
