// The sequence diagram: one ordered list. Style sheets draw it as lanes on wide screens
// and leave it a numbered list on narrow ones; what is written is the same.

import { html, nothing } from "../vendor/lit-html.js";
import { line, path as clippedPath } from "../text.js";
import { took } from "../time.js";
import { badge, glyph } from "./badge.js";
import { time } from "./time.js";
import { exchangeView } from "./exchange.js";
import { problemNotice } from "./notice.js";

const IDLE = { kind: "idle", word: "Not yet" };
const WORKING = { kind: "info", word: "Working" };

/** Where a row's line or box stands: `f0t2` from lane 0 to lane 2, `at1` on lane 1. */
function place({ from, to, at }) {
  return at === undefined ? `f${from}t${to}` : `at${at}`;
}

/**
 * `step` from the script, `record` of the run. `ends` are the two parties in words, `label` its name.
 * `view` holds what the reader opened and how to change it. `beside` stands between what happened and its evidence.
 */
export function stepRow({ step, record, label, ends, view, share, preview, action, beside = nothing }) {
  const id = `step-${step.number}`;
  const mark = record.badge ?? (record.state === "working" ? WORKING : IDLE);
  const kind = record.waiting ? "waiting" : record.state;
  return html`<li class=${`step ${place(record.way ?? step)} is-${kind}${step.back && !record.way ? " back" : ""}${step.busy && !record.quiet ? ` busy ${step.busy}` : ""}`} id=${id}>
    <details ?open=${view.isOpen(id)} @toggle=${(event) => view.opened(id, event.target.open)}>
      <summary>
        <span class="number">${step.number}</span>
        <span class="ends">${ends}</span>
        <span class="label">${label}</span>
        <span class="wire" aria-hidden="true"></span>
        <span class="path"><bdi>${shortened(record.path ?? step.path)}</bdi></span>
        <span class="out">${badge(mark.kind, mark.word)}<span class="took">${record.ms === null ? nothing : took(record.ms)}</span></span>
        <svg class="chevron" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false"><path d="m4.5 6.25 3.5 3.5 3.5-3.5" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"></path></svg>
      </summary>
      <div class="inside">
        ${record.problem ? problemNotice(record.problem, action) : nothing}
        ${record.outcome ? html`<p class="outcome">${glyph(mark.kind)}<span>${line(record.outcome)}</span></p>` : nothing}
        ${beside}
        <p class="purpose">${step.what}</p>
        ${record.note ? html`<p class="note"><bdi>${line(record.note, 400)}</bdi></p>` : nothing}
        ${factList(record, share)}
        ${exchangeView({
          id, step: step.number,
          exchange: record.exchange, preview, set: record.set, verdict: record.verdict, first: step.first, meaning: view.meaning,
          chosen: view.tab(id), choose: (key) => view.choose(id, key),
          said: view.said, changed: view.changed,
        })}
      </div>
    </details>
  </li>`;
}

/** "GET /a/4f…c1/events": only the long segments of a path give way. */
function shortened(text) {
  const [method, target] = text.split(" ", 2);
  return target?.startsWith("/") ? `${method} ${clippedPath(target)}` : line(text, 60);
}

function factList(record, share) {
  const rows = [];
  if (record.ms !== null) {
    const where = record.exchange?.from === "page" && record.counts ? "measured here" : "from the Worker's record";
    rows.push(["Took", html`${took(record.ms)}, ${where}${share === null ? nothing : html`<span class="share"> · ${share} % of the total
      <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="of" width="100" height="4"></rect><rect class="part" width=${share} height="4"></rect></svg></span>`}`]);
  }
  if (record.exchange?.from === "page" && record.counts) rows.push(["Sent", time(record.exchange.at)]);
  for (const [term, what] of record.facts) {
    rows.push([term, typeof what === "string" ? html`<bdi>${line(what, 120)}</bdi>` : "id" in what ? html`<code><bdi>${line(what.id, 120)}</bdi></code>` : "ms" in what ? took(what.ms) : time(what.at)]);
  }
  if (record.exchange?.requestId && !record.problem) rows.push(["Request id", html`<code><bdi>${line(record.exchange.requestId, 80)}</bdi></code>`]);
  if (rows.length === 0) return nothing;
  return html`<dl class="facts">${rows.map(([term, what]) => html`<div><dt>${term}</dt><dd>${what}</dd></div>`)}</dl>`;
}

/** The heads over the lanes. Hidden from the tree: every row names its ends in words. */
export function laneHeads(lanes) {
  return html`<div class="lanes" aria-hidden="true">${lanes.map(([name, place]) => html`<span><b>${name}</b> <small><bdi>${place}</bdi></small></span>`)}</div>`;
}
