// The way of a published event: follows it through the delivery record and the inbox until both show it. Loaded once a
// run starts.

import { call } from "../api.js";
import { decode, verify } from "../jose.js";
import { line, middle } from "../text.js";
import { pause } from "../wait.js";
import { pace } from "./start-consent.js";
import { pushed } from "./start-records.js";
import { refusal, unlisted, unsent } from "./start-unarrived.js";

/** How long the run waits for the event to come round before it says what it saw instead. */
const DEADLINE_MS = 15_000;
/** Waits between two questions; the last one repeats. */
const BACK_OFF_MS = [15, 25, 50, 100, 200, 400];

/** From signing to the inbox: asks for the delivery record and the inbox until both show the event. */
export async function follow(run, signal) {
  const deadline = performance.now() + DEADLINE_MS;
  const known = { delivery: null, asked: 0 };
  run.set("sign", { state: "working" });
  for (let turn = 0; ; turn += 1) {
    const delivery = await latest(run, signal);
    if (delivery) sent(run, delivery, known);
    if (delivery?.outcome === "delivered") {
      if (!run.script.has("read")) return accepted(run, delivery, signal);
      const found = await arrived(run, signal, known);
      if (found) return finish(run, found, delivery, signal);
    } else if (delivery && delivery.next_attempt_at === null) {
      throw refusal(delivery, who(run)); // nothing more will be sent by itself
    }
    if (performance.now() > deadline) throw await late(run, delivery, signal);
    await pause(BACK_OFF_MS[Math.min(turn, BACK_OFF_MS.length - 1)], signal);
  }
}

function who(run) {
  return run.script.lanes[2] === "Receiver" ? "The receiver" : "Your endpoint";
}

/** The latest attempt to push the event, and when the request before it went out. */
async function latest(run, signal) {
  const all = (await run.streamRecord("/deliveries", signal))?.deliveries ?? [];
  const mine = all.find((it) => decode(it.request?.body ?? "")?.claims.txn === run.facts.event.txn); // newest first
  if (!mine) return null;
  const earlier = [...all.map((it) => it.sent_at), run.grant?.exchange?.at].filter((at) => at < mine.sent_at);
  return { ...mine, before: earlier.length > 0 ? Math.max(...earlier) : null };
}

/** Draws what the transmitter recorded about signing and sending. */
function sent(run, delivery, known) {
  const set = decode(delivery.request.body);
  const exchange = pushed(delivery, run.facts);
  run.set("sign", {
    state: "done", ms: delivery.sign_ms, counts: true, set, path: `${line(set.header.alg, 10)} · kid ${middle(set.header.kid, 4)}`,
    badge: { kind: "ok", word: "Signed" },
    facts: [["Signed", { at: delivery.signed_at }], ["jti", { id: delivery.jti }]],
  });
  run.set("deliver", {
    state: "done", set, exchange, path: `${exchange.request.method} ${exchange.request.path}`,
    badge: { kind: "ok", word: "Sent" },
    facts: [["Sent", { at: delivery.sent_at }], ["Attempt", String(delivery.attempt)], ...pace(run.grant, delivery.sent_at, delivery.before)],
  });
  if (delivery.outcome !== "delivered") {
    const word = delivery.status ? `${delivery.status}` : "No answer";
    run.set("answer", {
      label: delivery.status ? "Refuse" : "No answer", path: delivery.status ? `${delivery.status}` : "nothing came back",
      state: "working", exchange, ms: delivery.push_ms, badge: { kind: "warn", word, final: true },
    });
  } else if (!known.delivery) run.set(run.script.has("keys") ? "keys" : "answer", { state: "working" });
  known.delivery = delivery;
}

async function arrived(run, signal, known) {
  const answer = await call(run.request(run.script.step("read")), { signal });
  known.asked += 1;
  const event = (answer.data?.events ?? []).find((it) => it.txn === run.facts.event.txn);
  return event ? { ...answer, event, asked: known.asked } : null;
}

/** Draws what the receiver recorded, then checks the signature here as well. */
async function finish(run, { exchange, data, event, asked: times }, delivery, signal) {
  const cached = event.intake.keys === "cached";
  run.set("keys", {
    state: "done", ms: event.intake.keys_ms,
    badge: cached ? { kind: "idle", word: "Cached" } : { kind: "ok", word: "Fetched" },
    ...(cached ? { way: { at: 2 }, label: "Keys already known", path: "nothing fetched" } : {}),
    note: cached
      ? "The receiver still held the keys from before, so it asked for nothing. The exchange below is this page asking for the same keys, to check the signature here."
      : "The receiver records that it fetched the keys and how long that took, not the exchange itself. The one below is this page asking for the same keys, to check the signature here.",
  });
  const set = decode(event.set);
  run.set("verify", {
    state: "done", ms: event.intake.verify_ms, set, path: `${line(event.intake.alg, 10)} · kid ${middle(event.intake.kid, 4)}`,
    badge: { kind: "ok", word: "Stored" },
    facts: [["Stored", { at: event.received_at }], ["jti", { id: event.jti }], ["Bytes", event.set === delivery.request.body ? "the same as were pushed" : "not the same as were pushed"]],
  });
  run.facts.cursor = data.cursor ?? run.facts.cursor;
  run.set("read", {
    state: "done", ms: exchange.ms, counts: true, exchange, set,
    badge: { kind: "ok", word: String(exchange.response.status) },
    facts: times > 1 ? [["Asked", `${times} times until it was there; this is the last answer`]] : [],
  });
  await accepted(run, delivery, signal);
}

/** Draws the endpoint's answer, the pace that the next push has to keep, and the signature checked once more. */
async function accepted(run, delivery, signal) {
  run.set("answer", {
    label: null, state: "done", ms: delivery.push_ms, counts: true, note: null, exchange: pushed(delivery, run.facts), path: `${delivery.status}, ${delivery.response?.body ? "with a body" : "empty body"}`,
    badge: { kind: "ok", word: String(delivery.status) },
  });
  run.grant = await run.streamRecord("/grant", signal);
  const { facts } = run.records.get("deliver");
  run.set("deliver", { facts: [...facts.slice(0, 2), ...pace(run.grant, delivery.sent_at, delivery.before)] });
  await check(run, signal);
}

/** The signature once more, in the browser, for every place that shows the token. */
async function check(run, signal) {
  let keys = null;
  let exchange = null;
  try {
    ({ exchange, data: keys } = await call({ method: "GET", path: "/jwks.json" }, { signal }));
  } catch (error) {
    if (signal.aborted) throw error;
  }
  if (run.script.has("keys")) run.set("keys", { exchange });
  for (const [key, { set }] of run.records) {
    if (set) run.set(key, { verdict: keys ? await verify(set, keys) : { kind: "idle", word: "Not checked", why: "This page could not read /jwks.json." } });
  }
}

/** The deadline has passed: what is known instead of an arrival. */
async function late(run, delivery, signal) {
  if (delivery && delivery.outcome !== "delivered") return refusal(delivery, who(run));
  if (delivery) {
    run.set("keys", { state: "idle" });
    run.set("read", { state: "working" });
    return unlisted(DEADLINE_MS);
  }
  return unsent(await run.streamRecord("", signal), DEADLINE_MS);
}
