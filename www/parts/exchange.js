// One HTTP exchange, both sides as they went over the wire with secrets masked,
// and beside them the decoded token and the curl command where there are any.

import { html, nothing } from "../vendor/lit-html.js";
import { visible, line } from "../text.js";
import { variables } from "../curl.js";
import { badge } from "./badge.js";
import { copyButton } from "./copy.js";
import { json } from "./json.js";
import { tabs } from "./tabs.js";

const raw = (label, content, id = nothing) => html`<pre tabindex="0" role="region" aria-label=${label} id=${id}>${content}</pre>`;

const head = (first, headers) => html`<b>${visible(first)}</b>\n${headers.map(([name, text]) => html`<span class="j-key">${visible(name)}</span>: ${visible(text)}\n`)}`;

function requestPane(request, step) {
  return raw(`Raw request, step ${step}`, html`${head(`${request.method} ${request.path}`, request.headers)}${request.body ? html`\n${json(request.body)}` : nothing}`);
}

function responsePane({ response, error }, step) {
  if (!response) return html`<p class="none">No answer came.${error ? html` <bdi>${line(error, 300)}</bdi>` : nothing}</p>`;
  return raw(`Raw response, step ${step}`, html`${head(String(response.status), response.headers)}${response.body ? html`\n${json(response.body)}` : html`<span class="j-aside">\nno body</span>`}`);
}

function decodedPane(set, verdict, step) {
  return html`
    ${verdict ? html`<p class="verdict">${badge(verdict.kind, verdict.word)} <span>${verdict.why}</span></p>` : nothing}
    <p class="cap">Header</p>
    ${raw(`Decoded header, step ${step}`, json(set.headerText))}
    <p class="cap">Claims</p>
    ${raw(`Decoded claims, step ${step}`, json(set.claimsText))}
    <p class="cap">As sent</p>
    ${raw(`Token as sent, step ${step}`, dotted(set.compact))}`;
}

/** The three parts of a compact token, told apart. */
function dotted(compact) {
  const [header, claims, signature] = compact.split(".");
  return html`<span class="wrap"><span class="j-key">${header}</span>.<span class="j-string">${claims}</span>.<span class="j-number">${signature}</span></span>`;
}

function curlPane(command, id, step, meaning) {
  const names = variables(command);
  return html`${raw(`Command, step ${step}`, visible(command), `${id}-command`)}
    ${names.length > 0 ? html`<p class="note">${names.map((name, i) => html`${i > 0 ? ", " : nothing}<code>$${name}</code> is ${meaning(name)}`)}.</p>` : nothing}`;
}

/** A command by itself, for what the reader may do outside this page; `title` says what it does. */
export function commandView({ id, step, title, command, meaning, said, changed }) {
  const aside = copyButton({
    key: `${id}-curl`, label: "Copy as curl", name: `Copy as curl, ${title.toLowerCase()}`,
    text: () => command, said, changed, fallback: () => document.getElementById(`${id}-command`),
  });
  return html`<div class="tabs">
    <div class="tab-row"><p class="title">${title}</p><div class="tab-aside">${aside}</div></div>
    <div class="tab-panel">${curlPane(command, id, step, meaning)}</div>
  </div>`;
}

/**
 * `exchange` or, before anything is sent, `preview` (a request alone); `set` and `verdict` where a
 * token is involved. Until the reader chooses a tab, `first` is shown. `meaning` explains the variables of a command.
 */
export function exchangeView({ id, step, exchange, preview, set, verdict, first = "request", meaning, chosen, choose, said, changed }) {
  const request = exchange?.request ?? preview;
  const all = [];
  if (request) all.push({ key: "request", label: "Request", panel: requestPane(request, step) });
  if (exchange) all.push({ key: "response", label: "Response", panel: responsePane(exchange, step) });
  if (set) all.push({ key: "decoded", label: "Decoded", panel: decodedPane(set, verdict, step) });
  if (request) all.push({ key: "curl", label: "curl", panel: curlPane(request.curl, id, step, meaning) });
  if (all.length === 0) return nothing;
  const aside = request
    ? copyButton({
        key: `${id}-curl`,
        label: "Copy as curl",
        name: `Copy as curl, step ${step}`,
        text: () => request.curl,
        said,
        changed,
        fallback: async () => {
          choose("curl");
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          return document.getElementById(`${id}-command`);
        },
      })
    : nothing;
  return tabs({ id, label: `Step ${line(step, 4)}`, tabs: all, chosen: chosen ?? first, choose, aside });
}
