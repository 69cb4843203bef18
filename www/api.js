// Requests to this Worker: sent, measured and remembered as an exchange that holds no secret.
// A request is written once, with named slots where a secret or a not yet known value goes;
// the same writing gives what is sent, what is shown (secrets as •••) and the curl text ($NAME).

import { text as curlText } from "./curl.js";

const OPEN = "\uE000";
const CLOSE = "\uE001";
const SLOT = /\uE000([^\uE001]*)\uE001/g;
const MASK = "•••";
/** Members of answers that are secrets whoever sends them. */
const SECRET_MEMBERS = /("(?:client_secret|access_token|refresh_token|authorization_header)"\s*:\s*)"(?:[^"\\]|\\.)*"/g;
/** No single answer is waited for longer than this. */
const PATIENCE_MS = 15_000;

/** A value by name. A secret one never prints; one without a value yet prints as `$NAME`. */
export class Slot {
  #value;
  constructor(name, value = null, { secret = false } = {}) {
    this.name = name;
    this.secret = secret;
    this.#value = value;
  }
  get known() { return this.#value !== null; }
  reveal() { return this.#value; }
  mark() { return OPEN + this.name + CLOSE; }
  toString() { return this.secret || !this.known ? this.mark() : this.#value; }
  toJSON() { return this.toString(); }
}

export const secret = (name, value = null) => new Slot(name, value, { secret: true });
export const value = (name, known = null) => new Slot(name, known);

/** What went wrong, why, and what to do next; `exchange` is the evidence. */
export class Problem extends Error {
  constructor({ title, detail = null, next = null, status = null, requestId = null, exchange = null, code = null }) {
    super(title);
    Object.assign(this, { title, detail, next, status, requestId, exchange, code });
  }
}

/** The address of a path of this Worker, wherever the page is mounted. */
export function address(path) {
  return new URL("." + path, new URL(".", document.baseURI)).href;
}

/** `{ method, path, auth?: { bearer } | { basic: [id, secret] }, json?, form?, slots }` as lines with marks in them. */
export function written({ method, path, auth, json, form }) {
  const headers = [];
  if (auth?.bearer) headers.push(["authorization", `Bearer ${auth.bearer.mark()}`]);
  if (auth?.basic) headers.push(["authorization", `Basic ${OPEN}basic${CLOSE}`]);
  headers.push(["accept", "application/json"]);
  let body = null;
  if (json !== undefined) {
    headers.push(["content-type", "application/json"]);
    body = JSON.stringify(json);
  } else if (form !== undefined) {
    headers.push(["content-type", "application/x-www-form-urlencoded"]);
    body = new URLSearchParams(form).toString();
  }
  return { method, path: String(path), headers, body, basic: auth?.basic ?? null };
}

/** What a reader sees of a request before or after it is sent. */
export function shown(request) {
  const it = written(request);
  const slots = slotsOf(request);
  const mask = (text) => text === null ? null : masked(text, slots);
  return {
    method: it.method,
    path: mask(it.path),
    headers: it.headers.map(([name, text]) => [name, mask(text)]),
    body: mask(it.body),
    curl: curlText({ ...it, url: address(it.path) }),
  };
}

function slotsOf({ slots = {}, auth }) {
  const used = [auth?.bearer, ...(auth?.basic ?? [])].filter(Boolean);
  return { ...slots, ...Object.fromEntries(used.map((slot) => [slot.name, slot])) };
}

function masked(text, slots) {
  return text.replace(SLOT, (_, name) => {
    const slot = slots[name];
    return slot && !slot.secret ? (slot.known ? slot.reveal() : "$" + name) : MASK;
  });
}

function revealed(text, slots, escape = (v) => v) {
  return text.replace(SLOT, (_, name) => {
    const slot = slots[name];
    if (!slot?.known) throw new Problem({ title: `${name} is not known yet`, next: "Run it from the first step." });
    return escape(slot.reveal());
  });
}

const inJson = (text) => JSON.stringify(text).slice(1, -1);

function utf8Base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/**
 * Sends a request and returns `{ exchange, data }`. The exchange is masked; `data` is the parsed
 * answer as it came. Throws a `Problem` for anything but a 2xx answer.
 */
export async function call(request, { signal } = {}) {
  const slots = slotsOf(request);
  const it = written(request);
  const headers = new Headers();
  for (const [name, text] of it.headers) {
    if (it.basic && name === "authorization") {
      const [id, key] = it.basic;
      headers.set(name, "Basic " + utf8Base64(`${encodeURIComponent(id.reveal())}:${encodeURIComponent(key.reveal())}`));
    } else headers.set(name, revealed(text, slots));
  }
  const exchange = { request: shown(request), response: null, ms: 0, at: Date.now(), from: "page" };
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const began = performance.now();
  let answer, raw;
  try {
    answer = await fetch(address(revealed(it.path, slots, encodeURIComponent)), {
      method: it.method,
      headers,
      body: it.body === null ? undefined : revealed(it.body, slots, inJson),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
    raw = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    exchange.ms = performance.now() - began;
    throw new Problem(patience.aborted
      ? { title: "The Worker did not answer within 15 seconds", next: "Look at its log, then try again.", exchange, code: "timeout" }
      : { title: "This page could not reach its Worker", next: "Check that the Worker is running and that this browser is online, then try again.", exchange, code: "unreachable" });
  }
  exchange.ms = performance.now() - began;
  exchange.requestId = answer.headers.get("x-request-id");
  exchange.response = {
    status: answer.status,
    headers: [...answer.headers],
    body: hide(raw, slots),
  };
  if (!answer.ok) throw refused(answer, raw, exchange);
  return { exchange, data: raw === "" ? null : parsed(raw) };
}

/** An answer with its secrets masked: by member name, and any secret we hold wherever it stands. */
function hide(raw, slots) {
  let text = raw.replace(SECRET_MEMBERS, `$1"${MASK}"`);
  for (const slot of Object.values(slots)) {
    if (slot.secret && slot.known && slot.reveal().length > 3) text = text.replaceAll(slot.reveal(), MASK);
  }
  return text;
}

function parsed(raw) {
  try {
    return JSON.parse(raw);
  } catch {
    return null;
  }
}

/** The Worker's own words, whichever standard's error body they come in. */
function refused(answer, raw, exchange) {
  const said = parsed(raw) ?? {};
  const detail = said.detail ?? said.error_description ?? said.description ?? null;
  const title = said.title ?? said.error ?? said.err ?? (answer.statusText || "No reason given");
  return new Problem({
    title: `The Worker answered ${answer.status}: ${title}`,
    detail: [detail, said.pointer ? `At ${said.pointer} of the request.` : null].filter(Boolean).join(" ") || null,
    status: answer.status,
    requestId: exchange.requestId ?? said.request_id ?? null,
    exchange,
  });
}
