// The guided run: sends the requests of the script, follows consent and event through the records that the
// Worker keeps, and remembers all of it. No drawing here. Nothing is simulated: what is not recorded
// is said to be unknown, and a step is done only when an answer or a record says so.

import { Problem, call, secret, shown, value } from "../api.js";
import { forget, session } from "../session.js";
import { advised, untaken } from "./start-problems.js";
import { fresh, parts, random, removeAll } from "./start-setup.js";
import { SCRIPTS } from "./start-steps.js";

const FIRST = "client";
const EVENT_DEFAULT = "session-revoked";

const segment = (slot) => encodeURIComponent(slot.reveal());

function untouched() {
  return {
    state: "idle", badge: null, ms: null, counts: false, exchange: null, set: null, verdict: null, facts: [],
    problem: null, note: null, label: null, path: null, way: null, quiet: false, outcome: null, waiting: null,
  };
}

export class Run {
  #abort = null;
  #changed;
  #sameEvent = false;
  /** What earlier runs made and nobody chose to keep. */
  #earlier = [];

  /** `changed` is called after every change, `waits` when the run begins to wait for somebody's consent. */
  constructor({ changed, waits }) {
    this.#changed = changed;
    this.waits = waits;
    this.choice = EVENT_DEFAULT;
    this.endpoint = "";
    this.#prepare("worker");
  }

  /** Everything as before the first press, for a target: "worker" or "endpoint". */
  #prepare(target) {
    this.script = SCRIPTS[target];
    this.phase = "before"; // running, done, failed, stopped
    this.records = new Map(this.script.steps.map(({ key }) => [key, untouched()]));
    /** The first step of the run at hand: where the set-up stands, only the event goes round again. */
    this.since = FIRST;
    this.failedAt = this.resumeAt = null;
    this.#forgetSetup();
  }

  #forgetSetup() {
    if (this.made && !this.kept) this.#earlier.push(this.facts);
    this.facts = fresh();
    this.kept = false;
    this.deleted = null;
    /** The transmitter's record of the endpoint's consent, as it was read last. */
    this.grant = null;
  }

  get target() { return this.script.target; }
  get ready() { return this.facts.streamId.known; }
  get made() { return this.facts?.sourceId.known || this.facts?.clientId.known; }
  get earlier() { return this.#earlier.length; }

  /** Facts as the script reads them, the secrets still in their slots. */
  said() {
    const now = Math.floor(Date.now() / 1000);
    return {
      ...this.facts,
      target: this.target,
      endpointUrl: value("ENDPOINT_URL", this.endpoint === "" ? null : this.endpoint),
      choice: this.choice,
      operator: session.token,
      issuer: session.origin ?? location.origin,
      event: this.facts.event ?? { id: `${this.facts.name}-1`, txn: this.facts.name, at: now },
    };
  }

  request(step) {
    const f = this.said();
    const slots = Object.fromEntries(
      [f.operator, f.sourceId, f.receiveUrl, f.receiverAuth, f.clientId, f.clientSecret, f.accessToken, f.streamId, f.endpointUrl].map((slot) => [slot.name, slot]),
    );
    return { ...step.request(f), slots };
  }

  /** What a step would send, before it is sent. */
  preview(step) {
    return step.request ? shown(this.request(step)) : null;
  }

  /** The operator's word in the endpoint's place, as a request to look at and to send. */
  decision(action) {
    return { method: "POST", path: `/admin/streams/${segment(this.facts.streamId)}/grant`, auth: { bearer: session.token }, json: { action } };
  }

  /** The grant by hand as a command. */
  get grantCommand() {
    return this.ready ? shown(this.decision("grant")).curl : null;
  }

  /** Tells the Worker to ask again or to take consent as given. The run, if it waits, sees it at once. */
  async decide(action) {
    await call(this.decision(action));
    this.wake?.();
  }

  /** The steps of the last run. */
  get steps() {
    return this.script.steps.slice(this.script.numberOf(this.since) - 1);
  }

  /** How many steps the last run had, and the sum of what they took; times inside other times count once. */
  get total() {
    const counted = this.steps.map(({ key }) => this.records.get(key)).filter((record) => record.counts);
    return { steps: this.steps.length, ms: counted.reduce((sum, record) => sum + record.ms, 0) };
  }

  choose(name) {
    this.choice = name;
    this.#changed();
  }

  /** Another receiver: another script, and a set-up of its own. */
  aim(target) {
    if (this.phase === "running" || target === this.target) return;
    this.#prepare(target);
    this.#changed();
  }

  /** Whether the stream that stands goes to another endpoint than the reader wants now. */
  get #moved() {
    return this.ready && this.target === "endpoint" && this.facts.endpoint !== this.endpoint;
  }

  /** Runs everything, or, where the set-up stands, publishes another event. */
  start() {
    if (this.phase === "running") return;
    if (this.phase === "failed" && this.script.isSetup(this.resumeAt)) return this.resume();
    if (this.#moved) this.#prepare(this.target);
    const from = this.ready ? "ask" : this.made ? this.script.setup.find(({ key }) => this.records.get(key).state !== "done").key : FIRST;
    if (!this.ready) this.since = FIRST;
    else if (this.records.get("grant").state === "done") this.since = "publish";
    this.#sameEvent = false;
    return this.#go(from);
  }

  /** Goes on after a failure, from the step that can still succeed. */
  resume() {
    if (this.#moved) return this.start();
    const from = this.resumeAt ?? FIRST;
    // An answer that never came may hide an event that was stored: the same id again cannot store it twice.
    const status = this.records.get("publish").problem?.status;
    this.#sameEvent = this.failedAt === "publish" && !(status >= 400 && status < 500);
    if (this.script.isSetup(from)) this.since = FIRST;
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
    if (from === FIRST) this.#forgetSetup();
    // Consent that stands keeps its two steps as they are: the run is about the next one.
    this.reset(this.since === "publish" && from === "ask" ? "publish" : from);
    this.#changed();
    const following = theRest();
    following.catch(() => {}); // told where it is needed
    try {
      for (const step of this.script.steps.slice(this.script.numberOf(from) - 1)) {
        if (step.key === "ask") await (await following).consent(this, from === "ask", abort.signal);
        else if (step.request && step.key !== "read") await this.#send(step, abort.signal);
        else if (step.key === "sign") break;
      }
      await (await following).follow(this, abort.signal);
      this.phase = "done";
    } catch (error) {
      const at = [...this.records].find(([, record]) => record.state === "working")?.[0] ?? from;
      if (abort.signal.aborted) {
        this.phase = "stopped";
        this.set(at, { state: "stopped", badge: { kind: "idle", word: "Stopped" }, waiting: null });
        this.resumeAt = at;
      } else this.#fail(at, error);
    }
    this.#abort = null;
    this.#changed();
  }

  /** Everything from a step on as before the run. */
  reset(from) {
    for (const { key, number } of this.script.steps) if (number >= this.script.numberOf(from)) this.records.set(key, untouched());
  }

  /** Changes what is remembered of a step. */
  set(key, change) {
    Object.assign(this.records.get(key), change);
    this.#changed();
  }

  #fail(key, error) {
    const uses = this.script.step(key).request?.(this.said()).auth?.bearer?.name ?? (this.script.isSetup(key) ? null : "TOKEN");
    const { problem, from } = advised(error, { key, uses, ready: this.ready, admin: session.admin, first: FIRST });
    if (problem.code === "signin") forget();
    this.failedAt = key;
    this.resumeAt = FOLLOWS[from] ?? from;
    this.phase = "failed";
    const status = problem.exchange?.response?.status;
    const record = this.records.get(key);
    this.set(key, {
      state: "failed",
      problem,
      waiting: null,
      exchange: problem.exchange ?? record.exchange,
      badge: record.badge?.final ? record.badge : { kind: "bad", word: status ? String(status) : "Failed" },
    });
  }

  async #send(step, signal) {
    if (step.key === "publish" && !this.#sameEvent) {
      const id = `${this.facts.name}-${random(6)}`;
      this.facts.event = { id, txn: id, at: Math.floor(Date.now() / 1000) };
    }
    if (step.key === "publish") this.records.get("publish").label = step.label(this.said());
    if (step.key === "stream") this.facts.endpoint = this.endpoint;
    this.set(step.key, { state: "working" });
    const { exchange, data } = await call(this.request(step), { signal });
    this.#learn(step.key, data, exchange);
    this.set(step.key, { state: "done", exchange, ms: exchange.ms, counts: true, badge: { kind: "ok", word: String(exchange.response.status) } });
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
      throw untaken(exchange, FIRST);
    }
  }

  /** A record of the Worker, read by this page as the operator. */
  async #record(kind, slot, tail, signal) {
    return (await call({ method: "GET", path: `/admin/${kind}/${segment(slot)}${tail}`, auth: { bearer: session.token } }, { signal })).data;
  }

  streamRecord(tail, signal) {
    return this.#record("streams", this.facts.streamId, tail, signal);
  }

  sourceRecord(tail, signal) {
    return this.#record("sources", this.facts.sourceId, tail, signal);
  }

  /** Removes what this run made, and what runs before it left. */
  async remove() {
    const setups = [...this.#earlier, this.facts];
    const what = parts(this.facts, { client: "the client", stream: "its stream", source: "the source" });
    await removeAll(setups);
    this.#earlier = [];
    this.kept = true; // nothing is left of it
    this.#forgetSetup();
    this.deleted = { what, earlier: setups.length > 1 };
    this.#changed();
  }

  keep() {
    this.kept = true;
    this.#earlier = [];
    this.#changed();
  }
}

/** The modules that follow consent and event: not needed for the first paint, so loaded beside the first request. */
async function theRest() {
  try {
    const [handshake, follow] = await Promise.all([import("./start-handshake.js"), import("./start-follow.js")]);
    return { ...handshake, ...follow };
  } catch {
    throw new Problem({ title: "This page could not load the rest of itself", next: "Check that the Worker is running and that this browser is online, then run again from here." });
  }
}

/** Steps that are only seen through others: a run goes on from where it can look again. */
const FOLLOWS = { grant: "ask", deliver: "sign", keys: "sign", verify: "sign", answer: "sign", read: "sign" };
