// Waiting for an endpoint's consent: what was asked, what happens by itself, and what the operator can do.

import { html, nothing } from "../vendor/lit-html.js";
import { instant } from "../time.js";
import { commandView } from "./exchange.js";
import { notice } from "./notice.js";

/** `waiting` says why, or is null once the endpoint refused; `acting` is the action under way, `problem` what became of the last one. */
export function waitingView({ id, step, waiting, command, acting, problem, decide, view }) {
  const button = (action, label) => html`<button type="button" aria-disabled=${acting ? "true" : "false"} @click=${(event) => acting || decide(action, event)}>${label}</button>`;
  return html`
    ${waiting ? notice({
      kind: "warn",
      title: waiting.why,
      detail: waiting.detail,
      next: `Nothing is sent until it grants.${waiting.until === null ? "" : ` It may call back until ${instant(waiting.until, { fraction: false })}; that address holds a secret, so it is not shown.`}`,
      action: html`<span class="buttons">${button("ask", "Ask again")}${button("grant", "Grant by hand")}</span>`,
    }) : nothing}
    ${problem ? notice({ title: problem.message, detail: problem.detail, requestId: problem.requestId, next: problem.next ?? "Nothing was changed. Try again." }) : nothing}
    ${commandView({ id: `${id}-hand`, step, title: "Grant by hand", command, meaning: view.meaning, said: view.said, changed: view.changed })}`;
}
