// Who you are to this Worker: the operator token, and what /console.json says about the Worker.
// A token you type lives in this tab's session storage; a development token only in memory.

import { address, secret } from "./api.js";

const KEY = "heliograph.operator";
const listeners = new Set();

export const session = {
  /** `asking`, `ready` or `unreachable`. */
  worker: "asking",
  version: null,
  /** The origin this Worker answers as, or null when the first operator request will pin it. */
  origin: null,
  /** False when the Worker has no ADMIN_TOKEN. */
  admin: true,
  /** `development`, `typed` or null. */
  kind: null,
  token: secret("TOKEN"),
};

export function onSession(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function changed() {
  for (const listener of listeners) listener();
}

function hold(kind, token) {
  session.kind = kind;
  session.token = secret("TOKEN", token);
}

/** Asks the Worker about itself. Never throws: the outcome is in `session`. */
export async function meet() {
  session.worker = "asking";
  const kept = stored();
  if (kept) hold("typed", kept);
  try {
    const answer = await fetch(address("/console.json"), { cache: "no-store", credentials: "omit" });
    if (!answer.ok) throw new Error(String(answer.status));
    const said = await answer.json();
    session.version = typeof said.version === "string" ? said.version : null;
    session.origin = typeof said.origin === "string" ? said.origin : null;
    session.admin = said.admin !== false;
    if (typeof said.development_token === "string" && !kept) hold("development", said.development_token);
    session.worker = "ready";
  } catch {
    session.worker = "unreachable";
  }
  changed();
}

export function use(token) {
  hold("typed", token);
  try {
    sessionStorage.setItem(KEY, token);
  } catch { /* storage refused: the token lasts as long as the page */ }
  changed();
}

export function forget() {
  hold(null, null);
  try {
    sessionStorage.removeItem(KEY);
  } catch { /* nothing was stored */ }
  changed();
}

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}
