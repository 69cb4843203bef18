// Start: what Heliograph is, and one event going all the way round in front of you.
// The static markup in index.html is this screen before anything has run; keep the two alike (a test compares them).

import { html, nothing, render } from "../vendor/lit-html.js";
import { glyph } from "../parts/badge.js";
import { notice } from "../parts/notice.js";
import { laneHeads, stepRow } from "../parts/sequence.js";
import { signin } from "../parts/signin.js";
import { waitingView } from "../parts/waiting.js";
import { meet, onSession, session } from "../session.js";
import { line } from "../text.js";
import { spoken, took } from "../time.js";
import { EXAMPLES } from "./start-events.js";
import { replay } from "./start-replay.js";
import { Run } from "./start-run.js";
import { parts } from "./start-setup.js";

export const title = "Start";

export function show(main) {
  const root = document.createElement("div");
  const open = new Set();
  const chosen = new Map();
  const deciding = { action: null, problem: null }; // the operator's word on consent
  let unaddressed = false; // pressed with no usable address of an endpoint
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
  const run = new Run({
    changed,
    waits: ({ why }) => {
      open.add(idOf("grant"));
      said(why);
    },
  });
  const player = replay({ changed, said, steps: () => run.steps });
  const idOf = (key) => `step-${run.script.numberOf(key)}`;

  const view = {
    isOpen: (id) => open.has(id),
    opened: (id, is) => is ? open.add(id) : open.delete(id),
    tab: (id) => chosen.get(id),
    choose: (id, key) => {
      chosen.set(id, key);
      draw();
    },
    meaning: (name) => run.script.meaning(name),
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
    if (run.target === "endpoint" && !addressed()) return;
    wanted = gate() === "signin";
    if (gate()) {
      document.getElementById("gate")?.querySelector("input, button, a")?.focus();
      said(gate() === "signin" ? "The run needs the operator token." : "It cannot run here yet. The reason is below the diagram.");
      return;
    }
    go(() => run.start(), event);
  }

  /** Whether there is an address to send to. The Worker's own rules decide whether it takes it. */
  function addressed() {
    unaddressed = !/^https?:$/.test(parsed(run.endpoint)?.protocol);
    draw();
    if (!unaddressed) return true;
    document.getElementById("endpoint")?.focus();
    said(NO_ADDRESS);
    return false;
  }

  function aim(event) {
    player.end();
    open.clear();
    chosen.clear();
    unaddressed = false;
    removing = deciding.problem = null;
    setupOpen = true;
    run.aim(event.target.value);
  }

  async function decide(action, event) {
    const step = event.currentTarget.closest("details").querySelector("summary");
    Object.assign(deciding, { action, problem: null });
    draw();
    try {
      await run.decide(action);
      if (action === "grant") step.focus({ preventScroll: true }); // the button goes away with the waiting
      said(action === "grant" ? "Granted by hand" : "It is asked again");
    } catch (error) {
      deciding.problem = error;
      said(error.message);
    }
    deciding.action = null;
    draw();
  }

  async function go(begin, event) {
    player.end();
    removing = deciding.problem = null;
    if (run.ready) setupOpen = false;
    player.byPointer = event.detail > 0;
    said("Running");
    await begin();
    if (run.phase === "done") {
      const { steps, ms } = run.total;
      said(`Finished. ${steps} steps, ${spoken(ms)}`);
    } else if (run.phase === "failed") {
      open.add(idOf(run.failedAt));
      if (run.script.isSetup(run.failedAt)) setupOpen = true;
      said(`Stopped at step ${run.script.numberOf(run.failedAt)}: ${run.records.get(run.failedAt).problem.message}`);
      draw();
      if (run.records.get(run.failedAt).problem.code === "signin") document.getElementById("operator-token")?.focus();
    } else said(`Stopped at step ${run.script.numberOf(run.resumeAt)}`);
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
    const real = run.records.get(step.key);
    const record = player.hides(step) ? { ...real, ...FAINT } : real;
    const label = record.label ?? (typeof step.label === "function" ? step.label(run.said()) : step.label);
    const share = run.phase === "done" && record.counts && run.steps.includes(step) && run.total.ms > 0 ? Math.round((100 * record.ms) / run.total.ms) : null;
    return stepRow({
      step, record, label, ends: run.script.ends(record.way ?? step), view, share,
      preview: record.exchange || record.state === "working" ? null : run.preview(step),
      action: gate() === "signin" ? nothing : html`<button type="button" @click=${again}>Run again from here</button>`,
      beside: step.key === "grant" ? byHand(step, record) : nothing,
    });
  }

  /** Beside a consent that is missing: what the operator can do. */
  function byHand(step, record) {
    const refused = run.failedAt === "grant" && record.problem && !record.problem.exchange;
    if (!record.waiting && !refused) return nothing;
    return waitingView({
      id: idOf("grant"), step: step.number, waiting: record.waiting, command: run.grantCommand,
      acting: deciding.action, problem: deciding.problem, decide, view,
    });
  }

  function summary() {
    if (player.on) return html`Replaying step ${player.at} of ${player.count}`;
    if (run.phase === "running") return "Running…";
    if (run.phase === "done") return html`${run.total.steps} steps · <b>${took(run.total.ms)}</b> total`;
    if (run.phase === "failed") {
      const n = run.script.numberOf(run.failedAt);
      return html`Stopped at step ${n}. <a href=${`#step-${n}`} @click=${toStep}>Why</a>`;
    }
    if (run.phase === "stopped") return html`Stopped at step ${run.script.numberOf(run.resumeAt)}`;
    const blocked = { signin: "asks for the operator token first", closed: "this Worker has no operator token", elsewhere: "not at this address", unreachable: "no answer from the Worker" }[gate()];
    return html`${run.script.steps.length} steps${blocked ? html` · ${blocked}` : nothing}`;
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
      <div class="field">
        <label for="target">To</label>
        <select id="target" ?disabled=${busy} @change=${aim}>
          <option value="worker" ?selected=${run.target === "worker"}>This Worker</option>
          <option value="endpoint" ?selected=${run.target === "endpoint"}>My endpoint</option>
        </select>
      </div>
      ${run.target === "endpoint" ? html`<div class="field address">
        <label for="endpoint">Endpoint URL</label>
        <input id="endpoint" type="url" inputmode="url" autocomplete="off" autocapitalize="off" spellcheck="false" placeholder="https://…" ?disabled=${busy}
          aria-invalid=${unaddressed ? "true" : "false"} aria-describedby="endpoint-note" @input=${(event) => {
            run.endpoint = event.target.value.trim();
            unaddressed &&= run.endpoint === "";
            changed();
          }} @keydown=${(event) => event.key === "Enter" && press({ detail: 0 })}>
      </div>` : nothing}
      <button type="button" class="primary run" aria-disabled=${busy ? "true" : "false"} @click=${press}>${run.phase === "before" ? "Run it" : "Run it again"}</button>
      ${busy
        ? html`<button type="button" class="second" @click=${() => (running ? run.stop() : player.end())}>Stop</button>`
        : html`<button type="button" class="second" aria-disabled=${none ? "true" : "false"} @click=${() => none ? said("There is nothing to replay yet.") : player.start()}>Replay slowly</button>`}
      ${player.on ? html`<button type="button" @click=${() => player.next()}>Next step</button>` : nothing}
      ${run.target === "endpoint" ? html`<p id="endpoint-note" class=${unaddressed ? "note wrong" : "note"}>${unaddressed
        ? html`${glyph("bad")} ${NO_ADDRESS}`
        : "Any endpoint that is not this Worker. It is asked for its consent first; until it grants, nothing is sent to it."}</p>` : nothing}
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
        <p>Deleted: ${[run.deleted.what, run.deleted.earlier ? "what earlier runs had made" : null].filter(Boolean).join(", and ")}, with every event in ${run.deleted.what?.includes(" and ") || run.deleted.earlier ? "them" : "it"}.</p>
      </section>`;
    }
    if (run.phase === "running" || (!run.made && !run.earlier)) return nothing;
    const list = parts(run.facts, { client: "a client", stream: "a stream", source: "a source" });
    const name = html`<b><bdi>Guided run ${line(run.facts.name)}</bdi></b>`;
    return html`<section class="panel left" id="left" tabindex="-1" aria-label="What this run made">
      ${removing && removing !== "working" ? notice({ title: removing.message, detail: removing.detail, requestId: removing.requestId, next: "Nothing else was changed. Press Delete it to try again." }) : nothing}
      <div class="row">
        <p>${!list ? "What earlier runs made is still there." : run.kept
          ? html`Kept: ${list}, called ${name}.`
          : html`This run made ${list}, called ${name}.${run.earlier ? " What earlier runs made is still there, too." : nothing}`}</p>
        <div class="buttons">
          ${run.kept || !list ? nothing : html`<button type="button" @click=${() => {
            run.keep();
            said("Kept.");
            document.getElementById("left").focus({ preventScroll: true });
          }}>Keep it</button>`}
          <button type="button" aria-disabled=${removing === "working" ? "true" : "false"} @click=${remove}>Delete it</button>
        </div>
      </div>
    </section>`;
  }

  /** A link to the steps between two keys, by their numbers. */
  const link = (first, last = first) => {
    const [from, to] = [run.script.numberOf(first), run.script.numberOf(last)];
    return html`<a href=${`#step-${from}`} @click=${toStep}>${from === to ? html`step ${from}` : html`steps ${from} ${to === from + 1 ? "and" : "to"} ${to}`}</a>`;
  };

  function explained() {
    const own = run.target === "worker";
    return html`<section class="explained" aria-labelledby="explained">
      <h2 id="explained">What happens here</h2>
      <div class="columns">
        <p><b>Two sides agree.</b> A receiver becomes a client of the transmitter and asks for the events it wants. Its endpoint is asked as well, and says how much it will take (${link("client", "grant")}). ${own ? "In the wild the two belong to different companies; here one Worker is both." : "No event is sent before that."}</p>
        <p><b>Something happens.</b> Your back end reports it with one POST. Once that is answered 202, the event is stored and does not get lost (${link("publish")}).</p>
        <p><b>The transmitter delivers.</b> It signs the event and pushes it to every stream that asked for it, at the granted pace. Where a receiver does not answer, it tries again later with the same token (${link("sign", "deliver")} and ${link("answer")}).</p>
        ${own
          ? html`<p><b>The receiver checks.</b> It fetches the transmitter's public keys, verifies what came, and keeps each event once, ready to be read in order (${link("keys", "verify")} and ${link("read")}).</p>`
          : html`<p><b>Your endpoint checks.</b> It fetches the transmitter's public keys from <code>/jwks.json</code>, verifies what came, and answers 202 once it has stored it (${link("answer")}).</p>`}
      </div>
    </section>`;
  }

  /** Who the lanes belong to. */
  const heads = () => {
    const [you, transmitter, receiver] = run.script.lanes;
    return [[you, "this page"], [transmitter, "this Worker"], [receiver, run.target === "worker" ? "this Worker" : line(parsed(run.ready ? run.facts.endpoint : run.endpoint)?.host || "not this Worker", 40)]];
  };

  function draw() {
    render(html`
      <h1 tabindex="-1">Watch one event go all the way round</h1>
      <p class="lead">Heliograph sends and receives security events, such as a session revoked or a device no longer trusted, between services that have agreed to warn each other. This Worker can be either side, so here it is both: it asks, grants, publishes, signs, delivers, verifies and keeps one event.</p>
      ${controls()}
      <div class="panel sequence" @keydown=${escape}>
        ${laneHeads(heads())}
        <ol class="steps" role="list" aria-label="Steps">
          <li class="group">
            <details class="setup" ?open=${setupOpen} @toggle=${(e) => {
              if (e.target.classList.contains("setup")) setupOpen = e.target.open;
            }}>
              <summary><span>Set-up, ${run.script.setup.length} steps</span></summary>
              <ol role="list">${run.script.setup.map(row)}</ol>
            </details>
          </li>
          ${run.script.steps.slice(run.script.setup.length).map(row)}
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
const FAINT = { state: "idle", badge: null, ms: null, label: null, path: null, way: null, outcome: null };

const NO_ADDRESS = "Enter the whole address of your endpoint, from https:// on.";

function parsed(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** Only http and https leave this page. */
function safeOrigin(text) {
  const url = new URL(text);
  return url.protocol === "https:" || url.protocol === "http:" ? url.origin : location.origin;
}
