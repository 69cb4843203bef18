// The handshake as it happens: follows the record that the transmitter keeps of an endpoint's consent, and draws the
// question and the grant from it. Loaded once a run starts.

import { call } from "../api.js";
import { pause, seen } from "../wait.js";
import { askStep, consented, current, decided, grantStep, refusal, refusedStep, undecided, waiting } from "./start-consent.js";
import { answered, asked } from "./start-records.js";

/** How long the page asks whether the endpoint has consented. An endpoint may take a day; a page should not. */
const PATIENCE_MS = 600_000;
/** A handshake that takes longer than this is said to be waited for. */
const AT_ONCE_MS = 1500;
/** Waits between two questions; the last one repeats. */
const BACK_OFF_MS = [15, 25, 50, 100, 200, 400, 1000, 2000];

/**
 * The question and the grant: asks for the record until the endpoint has decided. `again` when the stream stood
 * before this run: then a consent that still holds is left as it is drawn, and one that was refused is asked for anew.
 */
export async function consent(run, again, signal) {
  const known = run.records.get("grant").state === "done" ? run.grant : null;
  run.grant = await read(run, signal);
  if (known && consented(run.grant) && known.granted_at === run.grant.granted_at) return;
  if (run.since === "publish") run.since = "ask";
  run.reset("ask");
  run.set("ask", { state: "working" });
  if (again && decided(run.grant)) {
    await call(run.decision("ask"), { signal });
    run.grant = await read(run, signal);
  }
  const began = performance.now();
  for (let turn = 0; ; turn += 1) {
    const took = performance.now() - began;
    drawAsked(run, run.grant, took > AT_ONCE_MS);
    if (consented(run.grant)) return drawGranted(run, run.grant, signal);
    if (decided(run.grant)) {
      const change = refusedStep(run.grant);
      run.set("grant", { ...change, badge: { ...change.badge, final: true } });
      throw refusal(run.grant, run.script);
    }
    if (took > PATIENCE_MS) throw undecided(PATIENCE_MS, run.script.receiver);
    await pause(BACK_OFF_MS[Math.min(turn, BACK_OFF_MS.length - 1)], signal, (wake) => { run.wake = wake; });
    await seen(signal);
    run.grant = await read(run, signal);
  }
}

async function read(run, signal) {
  return current(await run.streamRecord("/grant", signal));
}

const PENDING = { badge: { kind: "warn", word: "Pending" }, label: "Wait for the grant", path: "nothing is sent until then" };

/** Draws the question, and while nobody has decided, what is waited for. */
function drawAsked(run, grant, patience) {
  const exchange = grant.exchange ? asked(grant.exchange) : null;
  // Only an endpoint that answers at once is seen at work between the question and its answer.
  const quiet = exchange !== null && grant.via !== "options";
  run.set("ask", { ...askStep(grant), exchange, quiet });
  const wait = consented(grant) || decided(grant) ? null : waiting(grant, run.script, patience);
  const before = run.records.get("grant").waiting;
  if (exchange || wait) run.set("grant", { state: "working", exchange, quiet, waiting: wait, ...(wait ? PENDING : {}) });
  if (wait && !before) run.waits(wait);
}

/** Draws the answer, with the receiver's own record of it where the receiver is this Worker. */
async function drawGranted(run, grant, signal) {
  run.reset("grant");
  let exchange = grant.exchange ? asked(grant.exchange) : null;
  let note = null;
  if (run.target === "worker" && grant.via === "options") {
    const { grants } = await run.sourceRecord("/grants", signal) ?? {};
    const mine = grants?.find(({ origin }) => origin === grant.origin);
    if (mine?.exchange) exchange = { ...answered(mine), ms: exchange?.ms ?? null };
    note = mine?.exchange
      ? `Below is the same exchange as in step ${run.script.numberOf("ask")}, this time as the receiver recorded it: compare the two.`
      : "The receiver has no record of the question; below is the transmitter's.";
  }
  const drawn = grantStep(grant);
  run.set("grant", { exchange, ...drawn, note: [drawn.note, note].filter(Boolean).join(" ") || null });
}
