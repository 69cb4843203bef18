// A KV namespace for plain workerd: the HTTP protocol that workerd speaks to a `kvNamespace` service, kept in the SQLite
// of one Durable Object. Reads come from memory where they can: a workerd process has one isolate per Worker, so the
// object below and the entry point share this module's variables.
//
// Binding: STORE (the object's namespace). SLOW_MS, if set, is how long a write takes. STALE_MS, if set, serves a key's old value for that long after a write, as
// Cloudflare's KV may: tests use it.

const MAX_KEY_BYTES = 512;
const MAX_METADATA_BYTES = 1024;
/** A row of a Durable Object holds 2 MB; Cloudflare's KV takes 25 MiB, but nothing of ours comes near this. */
const MAX_VALUE_BYTES = 1_900_000;
const MAX_LIST = 1000;
const MAX_BULK = 100;
/** Values kept in memory: none longer than this, and at most so many. */
const KEPT_VALUE_BYTES = 64 * 1024;
const KEPT_VALUES = 2000;

/** What is stored, by key; null for a key that is not. Written by the object only, together with its SQLite. */
const kept = new Map();
/** Old values that are still served, by key: `{ until, entry }`. */
const stale = new Map();

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const key = keyOf(url);
    if (key !== null && request.method === 'GET') {
      const entry = remembered(key);
      if (entry !== undefined) return valueResponse(entry);
    }
    return env.STORE.get(env.STORE.idFromName('namespace')).fetch(request);
  },
};

export class KvStore {
  constructor(state, env) {
    this.sql = state.storage.sql;
    this.staleMs = Number(env.STALE_MS ?? 0);
    this.slowMs = Number(env.SLOW_MS ?? 0);
    this.sql.exec(`CREATE TABLE IF NOT EXISTS entry (name TEXT PRIMARY KEY, value BLOB NOT NULL, metadata TEXT, expires INTEGER) WITHOUT ROWID`);
    this.sql.exec(`CREATE INDEX IF NOT EXISTS entry_expires ON entry (expires) WHERE expires IS NOT NULL`);
  }

  async fetch(request) {
    const url = new URL(request.url);
    if (this.slowMs > 0 && request.method === 'PUT') await new Promise((resolve) => setTimeout(resolve, this.slowMs));
    if (request.method === 'POST' && url.pathname === '/bulk/get') return this.bulkGet(await request.json());
    const key = keyOf(url);
    if (key === null) return request.method === 'GET' ? this.list(url.searchParams) : refuse(405, 'No such operation');
    if (new TextEncoder().encode(key).length > MAX_KEY_BYTES) return refuse(414, `A key has at most ${MAX_KEY_BYTES} bytes`);
    switch (request.method) {
      case 'GET': return valueResponse(this.visible(key));
      case 'PUT': return this.put(key, url.searchParams, request.headers.get('CF-KV-Metadata'), await request.arrayBuffer());
      case 'DELETE': return this.remove(key);
      default: return refuse(405, 'No such operation');
    }
  }

  put(key, parameters, metadata, value) {
    if (value.byteLength > MAX_VALUE_BYTES) return refuse(413, `A value has at most ${MAX_VALUE_BYTES} bytes here`);
    if (metadata !== null && new TextEncoder().encode(metadata).length > MAX_METADATA_BYTES) return refuse(413, `Metadata has at most ${MAX_METADATA_BYTES} bytes`);
    const ttl = parameters.get('expiration_ttl');
    const expires = ttl !== null ? seconds() + Number(ttl) : parameters.has('expiration') ? Number(parameters.get('expiration')) : null;
    if (expires !== null && !(expires >= seconds() + 60)) return refuse(400, 'An expiration is at least 60 seconds in the future');

    this.keepOld(key);
    this.sql.exec('DELETE FROM entry WHERE expires <= ?', seconds());
    this.sql.exec('INSERT OR REPLACE INTO entry (name, value, metadata, expires) VALUES (?, ?, ?, ?)', key, value, metadata, expires);
    remember(key, { value, metadata, expires });
    return new Response();
  }

  remove(key) {
    this.keepOld(key);
    this.sql.exec('DELETE FROM entry WHERE name = ?', key);
    remember(key, null);
    return new Response();
  }

  /** The entry a reader sees now, or null. */
  visible(key) {
    const known = remembered(key);
    return known !== undefined ? known : this.read(key);
  }

  read(key) {
    const [row] = this.sql.exec('SELECT value, metadata, expires FROM entry WHERE name = ?', key);
    const entry = row ?? null;
    remember(key, entry);
    return unexpired(entry);
  }

  keepOld(key) {
    if (this.staleMs > 0 && !(stale.get(key)?.until > Date.now())) stale.set(key, { until: Date.now() + this.staleMs, entry: this.read(key) });
  }

  bulkGet({ keys, type, withMetadata }) {
    if (!(keys?.length >= 1 && keys.length <= MAX_BULK)) return refuse(400, `Ask for 1 to ${MAX_BULK} keys`);
    const found = {};
    for (const key of keys) {
      const entry = this.visible(key);
      if (!entry) { found[key] = null; continue; }
      const text = new TextDecoder().decode(entry.value);
      let value = text;
      try {
        if (type === 'json') value = JSON.parse(text);
      } catch {
        return refuse(400, `The value of ${key} is not JSON`);
      }
      found[key] = withMetadata ? { value, metadata: entry.metadata && JSON.parse(entry.metadata) } : value;
    }
    return Response.json(found);
  }

  list(parameters) {
    const limit = Number(parameters.get('key_count_limit') ?? MAX_LIST);
    if (!(limit >= 1 && limit <= MAX_LIST)) return refuse(400, `List 1 to ${MAX_LIST} keys at a time`);
    const prefix = parameters.get('prefix') ?? '';
    const after = parameters.has('cursor') ? decodeURIComponent(parameters.get('cursor')) : null;
    // Names are compared by their bytes, so all that share a prefix follow each other.
    const rows = this.sql.exec(
      `SELECT name, metadata, expires FROM entry WHERE name >= ? AND (? IS NULL OR name > ?)
         AND substr(name, 1, ?) = ? AND (expires IS NULL OR expires > ?) ORDER BY name LIMIT ?`,
      prefix, after, after, [...prefix].length, prefix, seconds(), limit + 1,
    ).toArray();
    const keys = rows.slice(0, limit).map(({ name, metadata, expires }) => ({
      name, ...(expires !== null && { expiration: expires }), ...(metadata !== null && { metadata }),
    }));
    if (rows.length <= limit) return Response.json({ keys, list_complete: true, cacheStatus: null });
    return Response.json({ keys, list_complete: false, cursor: encodeURIComponent(keys.at(-1).name), cacheStatus: null });
  }
}

/** The key a URL names, or null where it names the whole namespace. */
function keyOf(url) {
  const path = url.pathname.slice(1);
  if (path === '' || path === 'bulk/get') return null;
  return url.searchParams.get('urlencoded') === 'true' ? decodeURIComponent(path) : path;
}

/** What memory knows of a key: an entry, null for none, undefined when SQLite has to be asked. */
function remembered(key) {
  const old = stale.get(key);
  if (old?.until > Date.now()) return unexpired(old.entry);
  if (old) stale.delete(key);
  const entry = kept.get(key);
  return entry === undefined ? undefined : unexpired(entry);
}

function remember(key, entry) {
  kept.delete(key);
  if (entry && entry.value.byteLength > KEPT_VALUE_BYTES) return;
  kept.set(key, entry);
  if (kept.size > KEPT_VALUES) kept.delete(kept.keys().next().value);
}

const unexpired = (entry) => (entry && entry.expires !== null && entry.expires <= seconds() ? null : entry);

const seconds = () => Math.floor(Date.now() / 1000);

function valueResponse(entry) {
  if (!entry) return refuse(404, 'Not found');
  const headers = new Headers();
  if (entry.metadata !== null) headers.set('CF-KV-Metadata', entry.metadata);
  if (entry.expires !== null) headers.set('CF-Expiration', String(entry.expires));
  return new Response(entry.value, { headers });
}

const refuse = (status, text) => new Response(text, { status });
