// Start: what Heliograph is, and one event going all the way round in front of you.
// The static markup in index.html is this screen before anything has run; keep the two alike (a test compares them).

import { html, nothing, render } from "../vendor/lit-html.js";
import { notice } from "../parts/notice.js";
import { laneHeads, stepRow } from "../parts/sequence.js";
import { signin } from "../parts/signin.js";
import { meet, onSession, session } from "../session.js";
import { line } from "../text.js";
import { spoken, took } from "../time.js";
import { EXAMPLES } from "./start-events.js";
import { replay } from "./start-replay.js";
import { Run } from "./start-run.js";
import { SETUP, STEPS, ends, numberOf } from "./start-steps.js";

export const title = "Start";

const HEADS = [["You", "this page"], ["Transmitter", "this Worker"], ["Receiver", "this Worker"]];

export function show(main) {
  const root = document.createElement("div");
  const open = new Set();
  const chosen = new Map();
  let queued = false;
  let removing = null; // "working" or a Problem
  let wanted = false; // pressed without a token: runs once there is one
  let early = null; // pressed before the Worker has said what it is: runs once it has
  let setupOpen = true;

  const changed = () => {
    if (queued) return;
    queued = true;
    queueMicrotask(() => {
      queued = false;
      draw();
    });
  };
  const said = (text) => {
    document.getElementById("status").textContent = text;
  };
  const run = new Run(changed);
  const player = replay({ changed, said, steps: () => run.withSetup ? STEPS : STEPS.slice(SETUP.length) });

  const view = {
    isOpen: (id) => open.has(id),
    opened: (id, is) => is ? open.add(id) : open.delete(id),
    tab: (id) => chosen.get(id),
    choose: (id, key) => {
      chosen.set(id, key);
      draw();
    },
    said,
    changed,
  };

  /** What stands between the reader and a run, if anything. */
  function gate() {
    if (session.worker === "asking") return null;
    if (session.worker === "unreachable") return "unreachable";
    if (!session.admin) return "closed";
    if (session.origin && session.origin !== location.origin) return "elsewhere";
    return session.token.known && run.records.get(run.failedAt)?.problem?.code !== "signin" ? null : "signin";
  }

  function press(event) {
    if (run.phase === "running" || player.on) return;
    if (session.worker === "asking") {
      early = { detail: event.detail };
      said("Running");
      return;
    }
    wanted = gate() === "signin";
    if (gate()) {
      document.getElementById("gate")?.querySelector("input, button, a")?.focus();
      said(gate() === "signin" ? "The run needs the operator token." : "It cannot run here yet. The reason is below the diagram.");
      return;
    }
    go(() => run.start(), event);
  }

  async function go(begin, event) {
    player.end();
    removing = null;
    if (run.ready) setupOpen = false;
    player.byPointer = event.detail > 0;
    said("Running");
    await begin();
    if (run.phase === "done") {
      const { steps, ms } = run.total;
      said(`Finished. ${steps} steps, ${spoken(ms)}`);
    } else if (run.phase === "failed") {
      const id = `step-${numberOf(run.failedAt)}`;
      open.add(id);
      if (SETUP.some(({ key }) => key === run.failedAt)) setupOpen = true;
      said(`Stopped at step ${numberOf(run.failedAt)}: ${run.records.get(run.failedAt).problem.message}`);
      draw();
      if (run.records.get(run.failedAt).problem.code === "signin") document.getElementById("operator-token")?.focus();
    } else said(`Stopped at step ${numberOf(run.resumeAt)}`);
  }

  const again = (event) => {
    const button = event.currentTarget;
    const step = button.closest("details")?.querySelector("summary");
    step?.focus({ preventScroll: true }); // the button goes away with the failure
    go(() => run.resume(), event);
  };

  async function remove() {
    if (removing === "working") return;
    removing = "working";
    draw();
    try {
      await run.remove();
      removing = null;
      said("Deleted.");
    } catch (error) {
      removing = error;
      said(error.message);
    }
    draw();
    document.getElementById("left")?.focus({ preventScroll: true });
  }

  function escape(event) {
    if (event.key !== "Escape") return;
    const details = event.target.closest?.("details[open]");
    if (!details) return;
    event.preventDefault();
    details.open = false;
    details.querySelector("summary").focus();
  }

  function row(step) {
    const script = run.script();
    const real = run.records.get(step.key);
    const record = player.hides(step) ? { ...real, ...FAINT } : real;
    const label = record.label ?? (typeof step.label === "function" ? step.label(script) : step.label);
    const share = run.phase === "done" && record.counts && run.total.ms > 0 ? Math.round((100 * record.ms) / run.total.ms) : null;
    return stepRow({
      step, record, label, ends: ends(step), view, share,
      preview: record.exchange || record.state === "working" ? null : run.preview(step),
      action: gate() === "signin" ? nothing : html`<button type="button" @click=${again}>Run again from here</button>`,
    });
  }

  function summary() {
    if (player.on) return html`Replaying step ${player.at} of ${player.count}`;
    if (run.phase === "running") return "Running…";
    if (run.phase === "done") return html`${run.total.steps} steps · <b>${took(run.total.ms)}</b> total`;
    if (run.phase === "failed") {
      const n = numberOf(run.failedAt);
      return html`Stopped at step ${n}. <a href=${`#step-${n}`} @click=${toStep}>Why</a>`;
    }
    if (run.phase === "stopped") return html`Stopped at step ${numberOf(run.resumeAt)}`;
    const blocked = { signin: "asks for the operator token first", closed: "this Worker has no operator token", elsewhere: "not at this address", unreachable: "no answer from the Worker" }[gate()];
    return html`${STEPS.length} steps${blocked ? html` · ${blocked}` : nothing}`;
  }

  function toStep(event) {
    event.preventDefault();
    const step = document.querySelector(event.currentTarget.getAttribute("href"));
    const setup = step.closest(".setup");
    if (setup) setup.open = true;
    step.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    step.querySelector("summary").focus({ preventScroll: true });
  }

  function controls() {
    const running = run.phase === "running";
    const busy = running || player.on;
    const none = run.phase !== "done";
    return html`<div class="controls">
      <div class="field">
        <label for="event">Event</label>
        <select id="event" @change=${(e) => run.choose(e.target.value)}>
          ${EXAMPLES.map(({ name, title }) => html`<option value=${name} ?selected=${name === run.choice}>${title}</option>`)}
        </select>
      </div>
      <button type="button" class="primary run" aria-disabled=${busy ? "true" : "false"} @click=${press}>${run.phase === "before" ? "Run it" : "Run it again"}</button>
      ${busy
        ? html`<button type="button" class="second" @click=${() => (running ? run.stop() : player.end())}>Stop</button>`
        : html`<button type="button" class="second" aria-disabled=${none ? "true" : "false"} @click=${() => none ? said("There is nothing to replay yet.") : player.start()}>Replay slowly</button>`}
      ${player.on ? html`<button type="button" @click=${() => player.next()}>Next step</button>` : nothing}
      <p class="total">${summary()}</p>
    </div>`;
  }

  function gateView() {
    const which = gate();
    const retry = html`<button type="button" @click=${() => meet()}>Try again</button>`;
    const inside = {
      signin: () => signin({
        refused: run.records.get(run.failedAt)?.problem?.code === "signin",
        then: () => {
          const failed = run.failedAt;
          document.querySelector("button.run").focus();
          if (failed) go(() => run.resume(), { detail: 0 });
          else if (wanted) go(() => run.start(), { detail: 0 });
          wanted = false;
        },
      }),
      closed: () => notice({
        kind: "warn", title: "This Worker has no ADMIN_TOKEN, so it cannot be managed.",
        next: html`Set it with <code>wrangler secret put ADMIN_TOKEN</code>, then try again.`, action: retry,
      }),
      elsewhere: () => notice({
        kind: "warn", title: `This Worker answers as ${session.origin}, and this page was opened at ${location.origin}.`,
        next: "Tokens are bound to that address, so the run works there only.",
        action: html`<a class="button" href=${new URL("/", safeOrigin(session.origin)).href}>Open it there</a>`,
      }),
      unreachable: () => notice({
        title: "This page could not reach its Worker.",
        next: "Check that the Worker is running and that this browser is online.", action: retry,
      }),
    }[which];
    return html`<div id="gate">${inside ? inside() : nothing}</div>`;
  }

  function left() {
    if (run.deleted && !run.made) {
      return html`<section class="panel left" id="left" tabindex="-1" aria-label="What this run made">
        <p>Deleted: ${run.deleted.what}, with every event in ${run.deleted.what.includes(" and ") ? "them" : "it"}.</p>
      </section>`;
    }
    if (run.phase === "running" || !run.made) return nothing;
    const f = run.facts;
    const made = [f.sourceId.known && "a source", f.clientId.known && "a client", f.streamId.known && "a stream"].filter(Boolean);
    const list = made.length < 2 ? made[0] : `${made.slice(0, -1).join(", ")} and ${made.at(-1)}`;
    const name = html`<b><bdi>Guided run ${line(run.facts.name)}</bdi></b>`;
    return html`<section class="panel left" id="left" tabindex="-1" aria-label="What this run made">
      ${removing && removing !== "working" ? notice({ title: removing.message, detail: removing.detail, requestId: removing.requestId, next: "Nothing else was changed. Press Delete it to try again." }) : nothing}
      <div class="row">
        <p>${run.kept
          ? html`Kept: ${list}, called ${name}.`
          : html`This run made ${list}, called ${name}.`}</p>
        <div class="buttons">
          ${run.kept ? nothing : html`<button type="button" @click=${() => {
            run.keep();
            said("Kept.");
            document.getElementById("left").focus({ preventScroll: true });
          }}>Keep it</button>`}
          <button type="button" aria-disabled=${removing === "working" ? "true" : "false"} @click=${remove}>Delete it</button>
        </div>
      </div>
    </section>`;
  }

  const link = (from, to = from) => html`<a href=${`#step-${from}`} @click=${toStep}>${from === to ? html`step ${from}` : html`steps ${from} ${to === from + 1 ? "and" : "to"} ${to}`}</a>`;

  function explained() {
    return html`<section class="explained" aria-labelledby="explained">
      <h2 id="explained">What happens here</h2>
      <div class="columns">
        <p><b>Two sides agree.</b> A receiver opens an inbox, becomes a client of the transmitter and asks for the events it wants. In the wild the two belong to different companies; here one Worker is both (${link(1, 5)}).</p>
        <p><b>Something happens.</b> Your back end reports it with one POST. Once that is answered 202, the event is stored and does not get lost (${link(6)}).</p>
        <p><b>The transmitter delivers.</b> It signs the event and pushes it to every stream that asked for it. Where a receiver does not answer, it tries again later with the same token (${link(7, 8)} and ${link(11)}).</p>
        <p><b>The receiver checks.</b> It fetches the transmitter's public keys, verifies what came, and keeps each event once, ready to be read in order (${link(9, 10)} and ${link(12)}).</p>
      </div>
    </section>`;
  }

  function draw() {
    render(html`
      <h1 tabindex="-1">Watch one event go all the way round</h1>
      <p class="lead">Heliograph sends and receives security events, such as a session revoked or a device no longer trusted, between services that have agreed to warn each other. This Worker can be either side, so here it is both: it publishes an event, signs it, delivers it to itself, verifies it and keeps it.</p>
      ${controls()}
      <div class="panel sequence" @keydown=${escape}>
        ${laneHeads(HEADS)}
        <ol class="steps" role="list" aria-label="Steps">
          <li class="group">
            <details class="setup" ?open=${setupOpen} @toggle=${(e) => {
              if (e.target.classList.contains("setup")) setupOpen = e.target.open;
            }}>
              <summary><span>Set-up, ${SETUP.length} steps</span></summary>
              <ol role="list">${STEPS.slice(0, SETUP.length).map(row)}</ol>
            </details>
          </li>
          ${STEPS.slice(SETUP.length).map(row)}
        </ol>
      </div>
      ${gateView()}
      ${left()}
      ${explained()}`, root);
  }

  const unlisten = onSession(() => {
    changed();
    if (!early || session.worker === "asking") return;
    const event = early;
    early = null;
    press(event);
  });
  addEventListener("times", changed);
  const printing = () => root.querySelectorAll("details").forEach((it) => (it.open = true));
  addEventListener("beforeprint", printing);
  draw();
  main.replaceChildren(root);
  if (window.heliographPressed?.()) press({ detail: 0 });
  return () => {
    run.stop();
    player.end();
    unlisten();
    removeEventListener("times", changed);
    removeEventListener("beforeprint", printing);
    root.remove();
  };
}

/** A row that the replay has not reached: faint, as before the run. */
const FAINT = { state: "idle", badge: null, ms: null, label: null, path: null, alone: false };

/** Only http and https leave this page. */
function safeOrigin(text) {
  const url = new URL(text);
  return url.protocol === "https:" || url.protocol === "http:" ? url.origin : location.origin;
}
