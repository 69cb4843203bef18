// The platform floor: the least that a JavaScript Worker needs for storing batches of events and pushing them as SETs. It writes
// the same rows as Heliograph and makes the same signatures and requests, and leaves everything else out: no tenants, streams,
// filters, order, retries, holds, or memory of ids.
//
//   POST /{alg}/events  {"events":[…]} → 202, stored as one row; the alarm signs and pushes them to RECEIVER

const IN_FLIGHT = 6;
const FLUSH_EVERY = 6;
const PUSH_TIMEOUT_MS = 15_000;

const ALGORITHMS = {
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
  ES256: { name: 'ECDSA', hash: 'SHA-256', namedCurve: 'P-256' },
};

export default {
  fetch(request, env) {
    if (request.method !== 'POST') return new Response('ready');
    const alg = new URL(request.url).pathname.split('/')[1];
    return env.FLOOR.get(env.FLOOR.idFromName(alg)).fetch(request);
  },
};

export class Floor {
  constructor(state, env) {
    this.storage = state.storage;
    this.sql = state.storage.sql;
    this.receiver = env.RECEIVER;
    this.sql.exec('CREATE TABLE IF NOT EXISTS chunk (seq INTEGER PRIMARY KEY, at INTEGER, n INTEGER, bytes INTEGER, body TEXT)');
    this.sql.exec('CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY, seq INTEGER, idx INTEGER, alg TEXT)');
    this.sql.exec("INSERT OR IGNORE INTO cursor VALUES (1, 1, 0, '')");
    const { seq, idx, alg } = this.sql.exec('SELECT seq, idx, alg FROM cursor').one();
    this.alg = alg;
    /** The newest chunk, and the next one to load. */
    this.tail = this.sql.exec('SELECT COALESCE(MAX(seq), 0) AS seq FROM chunk').one().seq;
    this.load = seq;
    this.skip = idx;
    /** Loaded events that are not acknowledged yet, and those of them that no push has begun for. */
    this.open = [];
    this.waiting = [];
    this.unflushed = 0;
    this.running = false;
    this.key = null;
  }

  async fetch(request) {
    this.alg = new URL(request.url).pathname.split('/')[1];
    const { events } = await request.json();
    const now = Date.now();
    const claims = events.map(({ sub_id, type, event }) => JSON.stringify({
      iss: 'https://floor.example', iat: Math.floor(now / 1000), jti: crypto.randomUUID(), aud: 'https://bench.example', sub_id, events: { [type]: event },
    }));
    const body = JSON.stringify(claims);
    this.tail += 1;
    this.sql.exec('INSERT INTO chunk (seq, at, n, bytes, body) VALUES (?, ?, ?, ?, ?)', this.tail, now, claims.length, body.length, body);
    if (!this.running) {
      this.running = true;
      await this.storage.setAlarm(now + 1);
    }
    return Response.json({ accepted: events.length }, { status: 202 });
  }

  async alarm() {
    this.running = true;
    this.key ??= (await crypto.subtle.generateKey(ALGORITHMS[this.alg], false, ['sign', 'verify'])).privateKey;
    await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
      for (let item = this.next(); item; item = this.next()) await this.push(item);
    }));
    this.flush();
    this.running = this.load <= this.tail;
    if (this.running) await this.storage.setAlarm(Date.now() + 1);
  }

  next() {
    if (this.waiting.length === 0 && this.load <= this.tail) {
      const claims = JSON.parse(this.sql.exec('SELECT body FROM chunk WHERE seq = ?', this.load).one().body);
      const items = claims.map((claims, idx) => ({ seq: this.load, idx, claims, acked: false })).slice(this.skip);
      this.open.push(...items);
      this.waiting = items.toReversed();
      this.load += 1;
      this.skip = 0;
    }
    return this.waiting.pop();
  }

  async push(item) {
    const controller = new AbortController();
    // Not AbortSignal.timeout: its timer stays until it fires, and an object may have 10,000 of them.
    const patience = setTimeout(() => controller.abort(), PUSH_TIMEOUT_MS);
    const response = await fetch(this.receiver, {
      method: 'POST',
      headers: { 'content-type': 'application/secevent+jwt', accept: 'application/json', 'user-agent': 'Floor' },
      body: await this.signed(item.claims),
      redirect: 'manual',
      signal: controller.signal,
    });
    await response.arrayBuffer();
    clearTimeout(patience);
    if (response.status !== 202) throw new Error(`the receiver answers ${response.status}`);
    item.acked = true;
    while (this.open[0]?.acked) this.open.shift();
    this.unflushed += 1;
    if (this.unflushed >= FLUSH_EVERY) this.flush();
  }

  /** Writes down up to where everything is delivered. */
  flush() {
    const { seq, idx } = this.open[0] ?? { seq: this.load, idx: 0 };
    this.sql.exec('UPDATE cursor SET seq = ?, idx = ?, alg = ? WHERE one = 1', seq, idx, this.alg);
    this.unflushed = 0;
  }

  async signed(claims) {
    const header = base64url(bytes(JSON.stringify({ alg: this.alg, typ: 'secevent+jwt', kid: 'floor' })));
    const input = `${header}.${base64url(bytes(claims))}`;
    const signature = await crypto.subtle.sign(ALGORITHMS[this.alg], this.key, bytes(input));
    return `${input}.${base64url(new Uint8Array(signature))}`;
  }
}

const bytes = (text) => new TextEncoder().encode(text);

const base64url = (bytes) => bytes.toBase64({ alphabet: 'base64url', omitPadding: true });
