// Compact signed tokens in the browser: taken apart, and their signature checked with WebCrypto
// against a key set. For display: what the Worker decided on receipt is what counts.

/** Algorithm by key, never by token. */
const KEYS = [
  { alg: "RS256", fits: (k) => k.kty === "RSA", load: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, check: "RSASSA-PKCS1-v1_5" },
  { alg: "ES256", fits: (k) => k.kty === "EC" && k.crv === "P-256", load: { name: "ECDSA", namedCurve: "P-256" }, check: { name: "ECDSA", hash: "SHA-256" } },
];

function bytes(base64url) {
  if (!/^[A-Za-z0-9_-]*$/.test(base64url)) throw new TypeError("not base64url");
  const plain = atob(base64url.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (c) => c.charCodeAt(0));
}

function text(base64url) {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes(base64url));
}

/**
 * The parts of a compact token, or null when it is none. `headerText` and `claimsText` are exactly
 * what was signed; `header` and `claims` are for looking things up.
 */
export function decode(compact) {
  const parts = String(compact).trim().split(".");
  if (parts.length !== 3) return null;
  try {
    const headerText = text(parts[0]);
    const claimsText = text(parts[1]);
    return { compact: parts.join("."), headerText, claimsText, header: JSON.parse(headerText), claims: JSON.parse(claimsText) };
  } catch {
    return null;
  }
}

/** `{ kind: "ok" | "bad" | "idle", word, why }`: valid, not valid, or not checked and why. */
export async function verify(token, keySet) {
  const idle = (why) => ({ kind: "idle", word: "Not checked", why });
  const bad = (why) => ({ kind: "bad", word: "Signature not valid", why });
  if (!token) return bad("This is not a signed token in compact form.");
  if (!globalThis.crypto?.subtle) return idle("This browser offers WebCrypto only on https and on localhost.");
  const key = (keySet?.keys ?? []).find((k) => k.kid === token.header.kid);
  if (!key) return bad("The key set has no key with the id that this token names.");
  const kind = KEYS.find((k) => k.fits(key));
  if (!kind) return idle("This page checks RS256 and ES256 only.");
  if (token.header.alg !== kind.alg || (key.alg && key.alg !== kind.alg)) return bad("The token names another algorithm than its key has.");
  try {
    const loaded = await crypto.subtle.importKey("jwk", { ...key, key_ops: undefined, use: undefined, ext: true }, kind.load, false, ["verify"]);
    const at = token.compact.lastIndexOf(".");
    const signed = new TextEncoder().encode(token.compact.slice(0, at));
    const good = await crypto.subtle.verify(kind.check, loaded, bytes(token.compact.slice(at + 1)), signed);
    return good
      ? { kind: "ok", word: "Signature valid", why: "Checked in this browser against /jwks.json." }
      : bad("The signature does not match the key in /jwks.json.");
  } catch {
    return bad("The key or the signature could not be read.");
  }
}
