// The platform floor of receiving: the least that a JavaScript Worker needs for a pushed SET.
//
//   POST /receive/verify  checks the signature with WebCrypto, and answers 202
//   POST /receive/store   the same, and keeps the SET once, in two rows as the inbox does

const RS256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

let key = null;

export default {
  async fetch(request, env) {
    if (request.method !== 'POST') return new Response('ready');
    const set = await request.text();
    key ??= await crypto.subtle.importKey('jwk', JSON.parse(env.KEY), RS256, false, ['verify']);
    const [header, payload, signature] = set.split('.');
    const signed = new TextEncoder().encode(`${header}.${payload}`);
    const good = await crypto.subtle.verify(RS256, key, Uint8Array.fromBase64(signature, { alphabet: 'base64url' }), signed);
    if (!good) return new Response(null, { status: 400 });
    if (new URL(request.url).pathname === '/receive/verify') return new Response(null, { status: 202 });
    return env.FLOOR.get(env.FLOOR.idFromName('inbox')).fetch('https://inbox', { method: 'POST', body: set });
  },
};

export class Floor {
  constructor(state) {
    this.sql = state.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY, at INTEGER, body TEXT)');
    this.sql.exec('CREATE TABLE IF NOT EXISTS seen (key TEXT PRIMARY KEY, seq INTEGER) WITHOUT ROWID');
  }

  async fetch(request) {
    const set = await request.text();
    const { iss, jti } = JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(set.split('.')[1], { alphabet: 'base64url' })));
    const id = `${iss} ${jti}`;
    if (this.sql.exec('SELECT 1 FROM seen WHERE key = ?', id).toArray().length === 0) {
      const { seq } = this.sql.exec('INSERT INTO event (at, body) VALUES (?, ?) RETURNING seq', Date.now(), set).one();
      this.sql.exec('INSERT INTO seen VALUES (?, ?)', id, seq);
    }
    return new Response(null, { status: 202 });
  }
}
