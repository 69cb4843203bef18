// The guided run: sends the requests of the script, follows the event through the records that the
// Worker keeps, and remembers all of it. No drawing here. Nothing is simulated: what is not recorded
// is said to be unknown, and a step is done only when an answer or a record says so.

import { Problem, call, secret, shown, value } from "../api.js";
import { decode, verify } from "../jose.js";
import { forget, session } from "../session.js";
import { line, middle } from "../text.js";
import { instant } from "../time.js";
import { EVENT, SETUP, STEPS, numberOf } from "./start-steps.js";
import { pushed } from "./start-records.js";

/** How long the run waits for the event to come round before it says what it saw instead. */
const DEADLINE_MS = 15_000;
/** Waits between two questions; the last one repeats. */
const BACK_OFF_MS = [15, 25, 50, 100, 200, 400];

const random = (n) => Array.from(crypto.getRandomValues(new Uint8Array(n)), (b) => (b % 36).toString(36)).join("");

function untouched() {
  return { state: "idle", badge: null, ms: null, counts: false, exchange: null, set: null, verdict: null, facts: [], problem: null, note: null, label: null, path: null, alone: false };
}

export class Run {
  #abort = null;
  #changed;
  #sameEvent = false;

  constructor(changed) {
    this.#changed = changed;
    this.choice = EVENT_DEFAULT;
    this.phase = "before"; // running, done, failed, stopped
    this.records = new Map(STEPS.map(({ key }) => [key, untouched()]));
    /** Whether the run at hand made its set-up, or uses one that stands. */
    this.withSetup = true;
    this.failedAt = null;
    this.resumeAt = null;
    this.wall = null;
    this.#forgetSetup();
  }

  #forgetSetup() {
    const name = `tour-${random(4)}`;
    this.facts = {
      name,
      audience: `https://tour.example/${name}`,
      sourceId: value("SOURCE_ID"),
      receiveUrl: value("RECEIVE_URL"),
      receiverAuth: secret("RECEIVER_AUTH"),
      clientId: value("CLIENT_ID"),
      clientSecret: secret("CLIENT_SECRET"),
      accessToken: secret("ACCESS_TOKEN"),
      streamId: value("STREAM_ID"),
      cursor: null,
      event: null,
    };
    this.kept = false;
    this.deleted = null;
  }

  get ready() { return this.facts.streamId.known; }
  get made() { return this.facts.sourceId.known || this.facts.clientId.known; }

  /** Facts as the script reads them, the secrets still in their slots. */
  script() {
    const now = Math.floor(Date.now() / 1000);
    return {
      ...this.facts,
      choice: this.choice,
      operator: session.token,
      issuer: session.origin ?? location.origin,
      event: this.facts.event ?? { id: `${this.facts.name}-1`, txn: this.facts.name, at: now },
    };
  }

  request(step) {
    const f = this.script();
    const slots = Object.fromEntries(
      [f.operator, f.sourceId, f.receiveUrl, f.receiverAuth, f.clientId, f.clientSecret, f.accessToken, f.streamId].map((slot) => [slot.name, slot]),
    );
    return { ...step.request(f), slots };
  }

  /** What a step would send, before it is sent. */
  preview(step) {
    return step.request ? shown(this.request(step)) : null;
  }

  /** The steps of the last run, and the sum of what they took; times inside other times count once. */
  get total() {
    const steps = this.withSetup ? STEPS : EVENT;
    const counted = steps.map(({ key }) => this.records.get(key)).filter((record) => record.counts);
    return { steps: steps.length, ms: counted.reduce((sum, record) => sum + record.ms, 0) };
  }

  choose(name) {
    this.choice = name;
    this.#changed();
  }

  /** Runs everything, or, where the set-up stands, publishes another event. */
  start() {
    if (this.phase === "running") return;
    if (this.phase === "failed" && SETUP.some(({ key }) => key === this.resumeAt)) return this.resume();
    const from = this.ready ? "publish" : this.made ? SETUP.find(({ key }) => this.records.get(key).state !== "done").key : "source";
    this.withSetup = !this.ready;
    this.#sameEvent = false;
    return this.#go(from);
  }

  /** Goes on after a failure, from the step that can still succeed. */
  resume() {
    const from = this.resumeAt ?? "source";
    // An answer that never came may hide an event that was stored: the same id again cannot store it twice.
    const status = this.records.get("publish").problem?.status;
    this.#sameEvent = this.failedAt === "publish" && !(status >= 400 && status < 500);
    if (SETUP.some(({ key }) => key === from)) this.withSetup = true;
    return this.#go(from);
  }

  stop() {
    this.#abort?.abort();
  }

  async #go(from) {
    const abort = new AbortController();
    this.#abort = abort;
    this.phase = "running";
    this.failedAt = this.resumeAt = null;
    if (from === "source") this.#forgetSetup();
    const first = Math.min(STEPS.findIndex(({ key }) => key === from), FOLLOWED);
    for (const { key } of STEPS.slice(first)) this.records.set(key, untouched());
    const began = performance.now();
    this.#changed();
    try {
      for (const step of STEPS.slice(first).filter(({ key }) => key !== "read" && SENT.has(key))) await this.#send(step, abort.signal);
      await this.#follow(abort.signal);
      this.wall = performance.now() - began;
      this.phase = "done";
    } catch (error) {
      const at = [...this.records].find(([, record]) => record.state === "working")?.[0] ?? from;
      if (abort.signal.aborted) {
        this.phase = "stopped";
        this.#set(at, { state: "stopped", badge: { kind: "idle", word: "Stopped" } });
        this.resumeAt = at;
      } else this.#fail(at, error);
    }
    this.#abort = null;
    this.#changed();
  }

  #set(key, change) {
    Object.assign(this.records.get(key), change);
    this.#changed();
  }

  #fail(key, error) {
    const problem = error instanceof Problem ? error : new Problem({ title: "This page has a fault", detail: String(error), next: "Reload the page." });
    const uses = STEPS.find((step) => step.key === key)?.request?.(this.script()).auth?.bearer;
    this.failedAt = key;
    this.resumeAt = problem.resumeAt ?? key;
    if (problem.status === 401 && uses?.name === "TOKEN") {
      problem.code = "signin";
      forget();
      problem.next ??= "Sign in with another operator token, then run again from here.";
    } else if (problem.status === 401) {
      problem.next ??= "The client gets a new access token first.";
      this.resumeAt = "token";
    } else if (problem.status === 404 && this.ready) {
      problem.next ??= "What this run made is gone. Running again makes it anew.";
      this.resumeAt = "source";
    } else if (problem.status === 421) {
      problem.next ??= "Open this page at the address that the Worker answers as.";
    } else if (problem.status === 503 && !session.admin) {
      problem.next ??= "Set ADMIN_TOKEN for this Worker, then run again.";
    }
    problem.next ??= problem.requestId ? "Run again from here, or look for the request id in the Worker's log." : "Run again from here.";
    this.phase = "failed";
    const status = problem.exchange?.response?.status;
    this.#set(key, {
      state: "failed",
      problem,
      exchange: problem.exchange ?? this.records.get(key).exchange,
      badge: { kind: "bad", word: this.records.get(key).badge?.status ?? (status ? String(status) : "Failed") },
    });
  }

  async #send(step, signal) {
    if (step.key === "publish" && !this.#sameEvent) {
      const id = `${this.facts.name}-${random(6)}`;
      this.facts.event = { id, txn: id, at: Math.floor(Date.now() / 1000) };
    }
    if (step.key === "publish") this.records.get("publish").label = step.label(this.script());
    this.#set(step.key, { state: "working" });
    const { exchange, data } = await call(this.request(step), { signal });
    this.#learn(step.key, data, exchange);
    this.#set(step.key, { state: "done", exchange, ms: exchange.ms, counts: true, badge: { kind: "ok", word: String(exchange.response.status) } });
  }

  /** Keeps what a later step needs. An answer without it is a failure, said where it happened. */
  #learn(key, data, exchange) {
    const f = this.facts;
    const need = (member) => {
      if (typeof data?.[member] === "string" && data[member] !== "") return data[member];
      throw new Problem({ title: `The answer has no ${member}`, next: "Run again from here.", exchange });
    };
    if (key === "source") {
      f.sourceId = value("SOURCE_ID", need("source_id"));
      f.receiveUrl = value("RECEIVE_URL", need("receive_url"));
      f.receiverAuth = secret("RECEIVER_AUTH", need("authorization_header"));
    } else if (key === "client") {
      f.clientId = value("CLIENT_ID", need("client_id"));
      f.clientSecret = secret("CLIENT_SECRET", need("client_secret"));
    } else if (key === "token") {
      f.accessToken = secret("ACCESS_TOKEN", need("access_token"));
    } else if (key === "stream") {
      f.streamId = value("STREAM_ID", need("stream_id"));
    } else if (key === "publish" && data?.streams === 0) {
      throw Object.assign(new Problem({
        title: "No stream took the event",
        detail: "The Worker accepted it, and no stream asks for this type any more.",
        next: "What this run made is gone. Running again makes it anew.",
        exchange,
      }), { resumeAt: "source" });
    }
  }

  /** Steps 7 to 12: asks for the delivery record and the inbox until both show the event. */
  async #follow(signal) {
    const deadline = performance.now() + DEADLINE_MS;
    const seen = { delivery: null, asked: 0 };
    this.#set("sign", { state: "working" });
    for (let turn = 0; ; turn += 1) {
      const delivery = await this.#delivery(signal);
      if (delivery) this.#sent(delivery, seen);
      if (delivery?.outcome === "delivered") {
        const found = await this.#arrived(signal, seen);
        if (found) return this.#finish(found, delivery, signal);
      } else if (delivery && delivery.next_attempt_at === null) {
        throw refusal(delivery); // nothing more will be sent by itself
      }
      if (performance.now() > deadline) throw await this.#late(delivery, signal);
      await pause(BACK_OFF_MS[Math.min(turn, BACK_OFF_MS.length - 1)], signal);
    }
  }

  async #delivery(signal) {
    const path = `/admin/streams/${encodeURIComponent(this.facts.streamId.reveal())}/deliveries`;
    const { data } = await call({ method: "GET", path, auth: { bearer: session.token } }, { signal });
    const mine = (data?.deliveries ?? []).filter((it) => decode(it.request?.body ?? "")?.claims.txn === this.facts.event.txn);
    return mine[0] ?? null; // newest first: the latest attempt
  }

  /** Draws what the transmitter recorded about signing and sending. */
  #sent(delivery, seen) {
    const set = decode(delivery.request.body);
    const exchange = pushed(delivery, this.facts);
    this.#set("sign", {
      state: "done", ms: delivery.sign_ms, counts: true, set, path: `${line(set.header.alg, 10)} · kid ${middle(set.header.kid, 4)}`,
      badge: { kind: "ok", word: "Signed" },
      facts: [["Signed", { at: delivery.signed_at }], ["jti", { id: delivery.jti }]],
    });
    this.#set("deliver", {
      state: "done", set, exchange, path: `${exchange.request.method} ${exchange.request.path}`,
      badge: { kind: "ok", word: "Sent" },
      facts: [["Sent", { at: delivery.sent_at }], ["Attempt", String(delivery.attempt)]],
    });
    if (delivery.outcome !== "delivered") {
      const word = delivery.status ? `${delivery.status}` : "No answer";
      this.#set("answer", {
        label: delivery.status ? "Refuse" : "No answer", path: delivery.status ? `${delivery.status}` : "nothing came back",
        state: "working", exchange, ms: delivery.push_ms, badge: { kind: "warn", word, status: word },
      });
    } else if (!seen.delivery) this.#set("keys", { state: "working" });
    seen.delivery = delivery;
  }

  async #arrived(signal, seen) {
    const step = STEPS.find(({ key }) => key === "read");
    const answer = await call(this.request(step), { signal });
    seen.asked += 1;
    const event = (answer.data?.events ?? []).find((it) => it.txn === this.facts.event.txn);
    return event ? { ...answer, event, asked: seen.asked } : null;
  }

  /** Draws what the receiver recorded, then checks the signature here as well. */
  async #finish({ exchange, data, event, asked }, delivery, signal) {
    const cached = event.intake.keys === "cached";
    this.#set("keys", {
      state: "done", ms: event.intake.keys_ms,
      badge: cached ? { kind: "idle", word: "Cached" } : { kind: "ok", word: "Fetched" },
      ...(cached ? { alone: true, label: "Keys already known", path: "nothing fetched" } : {}),
      note: cached
        ? "The receiver still held the keys from before, so it asked for nothing. The exchange below is this page asking for the same keys, to check the signature here."
        : "The receiver records that it fetched the keys and how long that took, not the exchange itself. The one below is this page asking for the same keys, to check the signature here.",
    });
    const set = decode(event.set);
    this.#set("verify", {
      state: "done", ms: event.intake.verify_ms, set, path: `${line(event.intake.alg, 10)} · kid ${middle(event.intake.kid, 4)}`,
      badge: { kind: "ok", word: "Stored" },
      facts: [["Stored", { at: event.received_at }], ["jti", { id: event.jti }], ["Bytes", event.set === delivery.request.body ? "the same as were pushed" : "not the same as were pushed"]],
    });
    this.#set("answer", {
      label: null, state: "done", ms: delivery.push_ms, counts: true, note: null, exchange: pushed(delivery, this.facts), path: `${delivery.status}, ${delivery.response?.body ? "with a body" : "empty body"}`,
      badge: { kind: "ok", word: String(delivery.status) },
    });
    this.facts.cursor = data.cursor ?? this.facts.cursor;
    this.#set("read", {
      state: "done", ms: exchange.ms, counts: true, exchange, set,
      badge: { kind: "ok", word: String(exchange.response.status) },
      facts: asked > 1 ? [["Asked", `${asked} times until it was there; this is the last answer`]] : [],
    });
    await this.#check(signal);
  }

  /** The signature once more, in the browser, for every place that shows the token. */
  async #check(signal) {
    let keys = null;
    let exchange = null;
    try {
      ({ exchange, data: keys } = await call({ method: "GET", path: "/jwks.json" }, { signal }));
    } catch (error) {
      if (signal.aborted) throw error;
    }
    this.#set("keys", { exchange });
    for (const key of ["sign", "deliver", "verify", "read"]) {
      const { set } = this.records.get(key);
      this.#set(key, { verdict: keys ? await verify(set, keys) : { kind: "idle", word: "Not checked", why: "This page could not read /jwks.json." } });
    }
  }

  /** The deadline has passed: what is known instead of an arrival. */
  async #late(delivery, signal) {
    if (delivery && delivery.outcome !== "delivered") return refusal(delivery);
    if (delivery) {
      this.#set("keys", { state: "idle" });
      this.#set("read", { state: "working" });
      return new Problem({
        title: "The receiver answered 202, but its inbox does not list the event",
        detail: `This page asked for ${DEADLINE_MS / 1000} seconds.`,
        next: "Run again from here: it asks once more.",
      });
    }
    const path = `/admin/streams/${encodeURIComponent(this.facts.streamId.reveal())}`;
    const { data } = await call({ method: "GET", path, auth: { bearer: session.token } }, { signal });
    const waiting = data?.queued_events;
    const said = [waiting === 1 ? "1 event is waiting in the stream." : `${waiting ?? "An unknown number of"} events are waiting in the stream.`];
    if (data?.last_error) said.push(`Last error: ${data.last_error.detail}.`);
    return new Problem({
      title: `The event was not sent within ${DEADLINE_MS / 1000} seconds`,
      detail: said.join(" "),
      next: "It is stored and is not lost. Run again from here: it goes on waiting for the same event.",
    });
  }

  /** Removes the client with its stream, and the source, with all they hold. What is already gone counts as removed. */
  async remove() {
    const f = this.facts;
    const made = [f.clientId.known && "the client", f.streamId.known && "its stream", f.sourceId.known && "the source"].filter(Boolean);
    const gone = async (path) => {
      try {
        await call({ method: "DELETE", path, auth: { bearer: session.token } });
      } catch (error) {
        if (error.status !== 404) throw error;
      }
    };
    if (f.clientId.known) await gone(`/admin/clients/${encodeURIComponent(f.clientId.reveal())}`);
    if (f.sourceId.known) await gone(`/admin/sources/${encodeURIComponent(f.sourceId.reveal())}`);
    this.#forgetSetup();
    this.deleted = { what: made.length < 2 ? made[0] : `${made.slice(0, -1).join(", ")} and ${made.at(-1)}` };
    this.#changed();
  }

  keep() {
    this.kept = true;
    this.#changed();
  }
}

const EVENT_DEFAULT = "session-revoked";
/** From here on nothing is sent: the event is followed. */
const FOLLOWED = STEPS.findIndex(({ key }) => key === "sign");
const SENT = new Set(STEPS.filter((step) => step.request).map(({ key }) => key));

/** Why the event has not arrived although it was sent, and what becomes of it. */
function refusal(delivery) {
  const { status, detail, attempt, next_attempt_at: next } = delivery;
  const restated = status !== null && new RegExp(`^\\D*${status}$`).test(detail ?? "");
  const fate = next === null
    ? delivery.outcome === "dead" ? "The event is a dead letter now: it is kept, and not sent again by itself." : "The transmitter keeps the event and waits."
    : `Attempt ${attempt} failed; the transmitter sends the same SET again at ${instant(next)}.`;
  return Object.assign(new Problem({
    title: status === null ? "The receiver did not answer" : `The receiver answered ${status}`,
    detail: [restated || !detail ? null : `${detail}.`, fate].filter(Boolean).join(" "),
    next: delivery.outcome === "dead" ? "Running again publishes a new event." : "Run again from here to go on waiting for it, or delete what this run made and start afresh.",
  }), { resumeAt: delivery.outcome === "dead" ? "publish" : "sign" });
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
