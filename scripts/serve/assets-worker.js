// The front door of `npm run serve`: what Workers assets are on Cloudflare. Paths of the API go straight to the main
// Worker, files of `www` are answered here with their media type, `_headers`, an ETag and gzip, and every other path
// goes to the main Worker, which knows how to say 404.
//
// Bindings: MAIN (the Worker), WWW (a disk service), WORKER_FIRST (the patterns of wrangler.toml's run_worker_first).

import { applyHeaders, parseHeadersFile } from './headers-file.js';

const MEDIA_TYPES = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  ico: 'image/x-icon',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  mjs: 'text/javascript; charset=utf-8',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
  webmanifest: 'application/manifest+json',
  woff2: 'font/woff2',
};
const COMPRESSIBLE = /^(text\/|application\/(json|manifest)|image\/svg)/;

/** Kept files, by path: `{ version, etag, plain, zipped }`. `www` is small and its files are read whole. */
const kept = new Map();

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (workerFirst(env.WORKER_FIRST, url.pathname)) return env.MAIN.fetch(request);
    const name = fileName(url.pathname);
    const file = name && await load(env.WWW, name);
    if (!file) return env.MAIN.fetch(request);
    if (url.pathname.endsWith('/index.html')) return redirect(url, url.pathname.slice(0, -'index.html'.length));
    if (request.method !== 'GET' && request.method !== 'HEAD') return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } });
    return answer(request, url, file, await rules(env.WWW));
  },
};

/** Made from WORKER_FIRST at the first request: two expressions, paths that it names and paths that it excepts with `!`. */
let first = null;

function workerFirst(patterns, pathname) {
  first ??= {
    named: anyOf(patterns.filter((pattern) => !pattern.startsWith('!'))),
    excepted: anyOf(patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1))),
  };
  return first.named.test(pathname) && !first.excepted.test(pathname);
}

const anyOf = (patterns) => new RegExp(`^(?:${patterns.map((pattern) => pattern.split('*').map(escape).join('.*')).join('|') || '(?!)'})$`);

const escape = (text) => text.replace(/[-/\\^$*+?.()|[\]{}]/g, '\\$&');

/** The file a path stands for, relative to `www`; null for paths that never name one. */
function fileName(pathname) {
  let path;
  try {
    path = decodeURIComponent(pathname);
  } catch {
    return null;
  }
  if (path.endsWith('/')) path += 'index.html';
  const hidden = path.split('/').some((part) => part.startsWith('.')) || path === '/_headers' || path === '/_redirects';
  return hidden || path.includes('\0') ? null : path;
}

async function load(disk, path) {
  const address = `http://disk${path.split('/').map(encodeURIComponent).join('/')}`;
  const head = await disk.fetch(address, { method: 'HEAD' });
  // The disk service lists directories as JSON and calls every file an octet stream.
  if (!head.ok || head.headers.get('content-type') === 'application/json') return null;
  const version = `${head.headers.get('last-modified')} ${head.headers.get('content-length')}`;
  const known = kept.get(path);
  if (known?.version === version) return known;

  const response = await disk.fetch(address);
  if (!response.ok) return null;
  const plain = await response.arrayBuffer();
  const type = MEDIA_TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
  const file = { version, type, plain, zipped: null, etag: await digest(plain) };
  if (COMPRESSIBLE.test(type)) file.zipped = await gzip(plain);
  kept.set(path, file);
  return file;
}

async function rules(disk) {
  const file = await load(disk, '/_headers');
  if (!file) return [];
  file.rules ??= parseHeadersFile(new TextDecoder().decode(file.plain));
  return file.rules;
}

function answer(request, url, file, rules) {
  const zip = file.zipped !== null && acceptsGzip(request.headers.get('accept-encoding'));
  // The tag names the file, not the bytes on the wire, so a compressed answer carries it as a weak one.
  const etag = `${zip ? 'W/' : ''}"${file.etag}"`;
  const headers = new Headers({ 'content-type': file.type, 'cache-control': 'public, max-age=0, must-revalidate', etag });
  if (file.zipped !== null) headers.set('vary', 'accept-encoding');
  applyHeaders(rules, url, headers);
  if (holds(request.headers.get('if-none-match'), file.etag)) return new Response(null, { status: 304, headers });
  if (zip) headers.set('content-encoding', 'gzip');
  const body = zip ? file.zipped : file.plain;
  headers.set('content-length', String(body.byteLength));
  return new Response(request.method === 'HEAD' ? null : body, { headers, encodeBody: zip ? 'manual' : 'automatic' });
}

function acceptsGzip(header) {
  return (header ?? '').split(',').some((part) => {
    const [name, ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    return (name === 'gzip' || name === '*') && !parameters.some((text) => /^q=0(\.0*)?$/.test(text));
  });
}

function holds(ifNoneMatch, etag) {
  return (ifNoneMatch ?? '').split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === `"${etag}"`);
}

function redirect(url, pathname) {
  return new Response(null, { status: 307, headers: { location: pathname + url.search } });
}

async function digest(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...hash.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function gzip(bytes) {
  return new Response(new Response(bytes).body.pipeThrough(new CompressionStream('gzip'))).arrayBuffer();
}
