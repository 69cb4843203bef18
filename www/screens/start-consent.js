// The handshake in words: what the transmitter's record of a grant says about the two steps that show it.
// Pure: from the record to texts. Who receives is named as the script names it.

import { Problem } from "../api.js";
import { instant } from "../time.js";
import { pathOf } from "./start-records.js";

/** States in which events may be sent. */
export const consented = (grant) => grant.state === "granted" || grant.state === "not_required";
/** States that no longer change by themselves. */
export const decided = (grant) => grant.state in REFUSED;

/** The record without an exchange that belongs to an earlier question than the one under way. */
export function current(grant) {
  const { exchange, handshake } = grant;
  const old = exchange && handshake && (handshake.asked_at === null || exchange.at < handshake.asked_at);
  return old ? { ...grant, exchange: null } : grant;
}

/** "60 requests a minute", or that nothing limits them. */
export function rate(allowed) {
  if (allowed === "*" || allowed === null) return "any number of requests";
  return `${allowed} ${allowed === 1 ? "request" : "requests"} a minute`;
}

const until = (ms) => ms === null ? "without an end" : `until ${instant(ms, { fraction: false })}`;

/** "Granted 60 requests a minute until 22 Dec 2026, 05:28:10 CET." */
export function sentence(grant) {
  return `Granted ${rate(grant.allowed_rate)} ${until(grant.expires_at)}.`;
}

const VIA = {
  options: "in the answer to OPTIONS",
  callback_get: "by calling back with GET",
  callback_post: "by calling back with POST",
  operator: "by the operator, in the endpoint's place",
};

/** What changes on the step that asks, once the record has the exchange. */
export function askStep(grant) {
  const { exchange, handshake } = grant;
  if (grant.state === "not_required") return { state: "done", badge: { kind: "idle", word: "Not required" }, label: "Nothing is asked", path: "registered beforehand", way: { at: 1 } };
  if (!exchange && !consented(grant) && !decided(grant)) return { state: "working" };
  if (!exchange) return { state: "done", badge: { kind: "idle", word: "Not recorded" }, note: "The Worker keeps this exchange in memory only. It was not asked yet, or the record is gone." };
  const silent = !exchange.response;
  return {
    state: "done",
    badge: silent ? { kind: "warn", word: "No answer" } : exchange.response.status >= 500 ? { kind: "warn", word: String(exchange.response.status) } : { kind: "ok", word: "Asked" },
    path: `OPTIONS ${pathOf(grant.endpoint_url)}`,
    facts: [
      ["Asked", { at: exchange.at }],
      ["For", rate(grant.requested_rate)],
      ["As", grant.origin],
      ...(handshake?.attempts > 1 ? [["Times asked", String(handshake.attempts)]] : []),
    ],
  };
}

/** What changes on the step that answers, once the endpoint consented. */
export function grantStep(grant) {
  if (grant.state === "not_required") {
    return { state: "done", badge: { kind: "idle", word: "Not required" }, label: "No consent needed", path: "registered beforehand", note: "The endpoint was registered for this client beforehand, so it is not asked.", waiting: null };
  }
  const byHand = grant.via === "operator";
  const atOnce = grant.via === "options";
  return {
    state: "done",
    waiting: null,
    badge: { kind: "ok", word: "Granted" },
    label: `${byHand ? "Grant by hand" : "Grant"}: ${grant.allowed_rate === "*" ? "no limit" : `${grant.allowed_rate} a minute`}`,
    path: byHand ? "POST /admin/streams/…/grant" : atOnce ? `webhook-allowed-rate: ${grant.allowed_rate}` : "called back",
    // Granted by the operator: the arrow comes from this side, not from the endpoint.
    way: byHand ? { from: 0, to: 1 } : null,
    quiet: !atOnce,
    ms: atOnce ? grant.exchange?.ms ?? null : null,
    counts: atOnce && typeof grant.exchange?.ms === "number",
    outcome: sentence(grant),
    note: [
      stated(grant.detail),
      atOnce ? null : `It was given ${VIA[grant.via] ?? "without saying how"}.${byHand ? "" : " That call is not shown: its address is a secret."}`,
    ].filter(Boolean).join(" ") || null,
    facts: grant.granted_at === null ? [] : [["Granted", { at: grant.granted_at }]],
  };
}

/** What the step that answers says while nobody has decided. Null while the question is only just on its way. */
export function waiting(grant, { receiver }, patience) {
  const { exchange, handshake } = grant;
  if (!exchange && !patience) return null;
  const next = handshake?.next_attempt_at ?? null;
  const again = next === null ? "" : ` It is asked again at ${instant(next, { fraction: false })}.`;
  const status = exchange?.response?.status;
  const why = !exchange
    ? handshake?.asked_at
      ? `Waiting for ${receiver} to answer.`
      : `Waiting to ask ${receiver}.${next === null ? "" : ` It is asked at ${instant(next, { fraction: false })}: its host was asked often of late.`}`
    : status === undefined || status === null
      ? `Waiting for ${receiver} to grant. It did not answer.${again}`
      : status < 300
        ? `Waiting for ${receiver} to grant. It was asked to call back.`
        : `Waiting for ${receiver} to grant. It answered ${status}.${again}`;
  return {
    why,
    detail: exchange && !exchange.response ? stated(grant.detail ?? exchange.error) : null,
    until: handshake?.callback_until ?? null,
  };
}

const REFUSED = {
  denied: {
    badge: { kind: "bad", word: "Denied" },
    title: (who) => `${who} did not consent`,
    next: (who, grant) => grant.via === "operator"
      ? "Consent was withdrawn by the operator. Run again from here: the endpoint is asked anew."
      : `Let it answer OPTIONS with 200 and WebHook-Allowed-Origin: ${grant.origin}, then run again from here: it is asked anew.`,
  },
  unsupported: {
    badge: { kind: "bad", word: "Unsupported" },
    title: (who) => `${who} does not speak the handshake`,
    next: (_, grant) => `It has to answer OPTIONS with 200, WebHook-Allowed-Origin: ${grant.origin} and a WebHook-Allowed-Rate. Then run again from here: it is asked anew. It may still call back, too.`,
  },
  expired: {
    badge: { kind: "warn", word: "Expired" },
    title: (who) => `${who} did not grant in time`,
    next: () => "Run again from here: it is asked anew.",
  },
};

/** Why the run stops: the endpoint said no, cannot say yes, or said nothing for too long. */
export function refusedStep(grant) {
  const { badge } = REFUSED[grant.state];
  const status = grant.exchange?.response?.status;
  return { badge, label: { denied: "Refuse", unsupported: "No handshake", expired: "No grant" }[grant.state], path: status ? String(status) : "nothing came back", waiting: null };
}

export function refusal(grant, { receiver }) {
  const said = REFUSED[grant.state];
  return Object.assign(new Problem({
    title: said.title(capital(receiver)),
    detail: stated(grant.detail),
    next: said.next(receiver, grant),
  }), { resumeAt: "ask" });
}

/** Nobody granted or refused for so long that this page stops asking. */
export function undecided(ms, who) {
  return Object.assign(new Problem({
    title: `No consent after ${ms / 60_000} minutes`,
    detail: `Nothing was sent to ${who}, and it can still grant.`,
    next: "Run again from here to go on waiting.",
  }), { resumeAt: "ask" });
}

/** The pace that the transmitter keeps, as facts of a push: what is granted, and how far it stayed from what went before. */
export function pace(grant, sent, before) {
  const it = grant?.pace;
  if (!it) return grant?.allowed_rate === "*" ? [["Pace", "no limit was granted"]] : [];
  const per = Math.round(it.per_minute * 10) / 10;
  return [
    ["Pace", `${per} a minute, ${it.burst > 1 ? `at most ${it.burst} at once` : "one at a time"}`],
    ...(before === null ? [] : [["Since the request before", { ms: sent - before }]]),
    ...(it.next_at > sent ? [["The next not before", { at: it.next_at }]] : []),
  ];
}

/** The Worker's half sentence as a whole one. */
const stated = (detail) => detail ? `${capital(detail).replace(/\.$/, "")}.` : null;
const capital = (text) => text[0].toUpperCase() + text.slice(1);
