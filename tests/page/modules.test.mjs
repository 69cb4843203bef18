// The page's modules that need no browser: foreign text, curl text, durations, signatures.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { webcrypto } from 'node:crypto';
import { test } from 'node:test';
import { text as curlText, variables, word } from '../../www/curl.js';
import { decode, verify } from '../../www/jose.js';
import { askStep, consented, current, decided, grantStep, pace, refusal, sentence, waiting } from '../../www/screens/start-consent.js';
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

/** A record of a grant as `GET …/grant` gives it, asked once and not answered. */
const grant = (change = {}) => ({
  state: 'pending', since: 1000, endpoint_url: 'https://rp.example/in', origin: 'us.example', requested_rate: 600, allowed_rate: null, via: null,
  granted_at: null, expires_at: null, detail: null,
  handshake: { asked_at: 1000, attempts: 1, next_attempt_at: null, callback_until: 86_401_000 }, exchange: null, pace: null, history: [], ...change,
});
const exchange = (status, at = 1001) => ({ at, ms: 4, request: { method: 'OPTIONS', url: 'https://rp.example/in', headers: [] }, response: status && { status, headers: [] }, error: status ? null : 'refused' });
const yes = (change) => grant({ state: 'granted', via: 'options', allowed_rate: 60, granted_at: 1005, handshake: null, exchange: exchange(200), ...change });

test('a grant is said in a sentence, whatever it allows', () => {
  assert.match(sentence(yes({ expires_at: 2_592_001_005 })), /^Granted 60 requests a minute until 31 Jan 1970, .+\.$/);
  assert.equal(sentence(yes({ allowed_rate: 1 })), 'Granted 1 request a minute without an end.');
  assert.equal(sentence(yes({ allowed_rate: '*' })), 'Granted any number of requests without an end.');
  assert.equal(grantStep(yes()).path, 'webhook-allowed-rate: 60');
  assert.deepEqual(grantStep(yes({ via: 'operator' })).way, { from: 0, to: 1 }, 'the operator is on this side');
  assert.match(grantStep(yes({ via: 'callback_post', allowed_rate: '*' })).note, /calling back with POST/);
  assert.equal(grantStep(grant({ state: 'not_required' })).badge.word, 'Not required');
});

test('what is waited for is said for every way of not being granted yet', () => {
  const who = { receiver: 'your endpoint' };
  const why = (change, patience = true) => waiting(grant(change), who, patience)?.why ?? null;
  assert.equal(why({}, false), null, 'a question that was only just sent');
  assert.equal(why({}), 'Waiting for your endpoint to answer.');
  assert.match(why({ handshake: { asked_at: null, attempts: 0, next_attempt_at: 5000, callback_until: 9000 } }), /^Waiting to ask your endpoint\. It is asked at .+: its host was asked often of late\.$/);
  assert.equal(why({ exchange: exchange(204) }), 'Waiting for your endpoint to grant. It was asked to call back.');
  assert.match(why({ exchange: exchange(503), handshake: { asked_at: 1000, attempts: 1, next_attempt_at: 5000, callback_until: 9000 } }), /It answered 503\. It is asked again at /);
  assert.equal(waiting(grant({ exchange: exchange(null), detail: 'the endpoint could not be reached' }), who).detail, 'The endpoint could not be reached.');
});

test('the answer to an earlier question is no answer to this one', () => {
  const asked = (asked_at) => ({ asked_at, attempts: 1, next_attempt_at: null, callback_until: 9000 });
  assert.equal(current(grant({ exchange: exchange(403, 500) })).exchange, null);
  assert.equal(current(grant({ exchange: exchange(403, 500), handshake: asked(null) })).exchange, null);
  assert.notEqual(current(grant({ exchange: exchange(403, 1000) })).exchange, null);
  assert.notEqual(current(yes()).exchange, null);
  assert.equal(askStep(grant()).state, 'working');
  assert.equal(askStep(yes({ exchange: null, via: 'operator' })).state, 'done', 'granted by hand before anybody was asked');
});

test('every state of a grant is either open, given or refused with advice', () => {
  for (const state of ['not_required', 'granted', 'pending', 'denied', 'unsupported', 'expired']) {
    const it = grant({ state, exchange: exchange(403) });
    assert.equal(consented(it), ['not_required', 'granted'].includes(state), state);
    assert.equal(decided(it), ['denied', 'unsupported', 'expired'].includes(state), state);
    if (decided(it)) assert.match(refusal(it, { receiver: 'the receiver' }).next, /asked anew/);
  }
});

test('the pace is said with what came before and what comes next', () => {
  const kept = yes({ pace: { per_minute: 60, burst: 1, next_at: 3000 } });
  assert.deepEqual(pace(kept, 2000, 1001), [['Pace', '60 a minute, one at a time'], ['Since the request before', { ms: 999 }], ['The next not before', { at: 3000 }]]);
  assert.deepEqual(pace(yes({ pace: { per_minute: 600, burst: 10, next_at: 0 } }), 2000, null), [['Pace', '600 a minute, at most 10 at once']]);
  assert.deepEqual(pace(yes({ allowed_rate: '*' }), 2000, null), [['Pace', 'no limit was granted']]);
  assert.deepEqual(pace(null, 2000, null), []);
});
