// Asks for the operator token, in place of what needs it. The token goes to the session, never elsewhere.

import { html, nothing } from "../vendor/lit-html.js";
import { use } from "../session.js";
import { notice } from "./notice.js";

/** `refused` is true after the Worker turned a token down; `then` is called once a token is held. */
export function signin({ refused = false, then }) {
  const submit = (event) => {
    event.preventDefault();
    const field = event.target.elements.namedItem("operator-token");
    const token = field.value.trim();
    if (token === "") {
      field.focus();
      return;
    }
    field.value = "";
    use(token);
    then();
  };
  return html`<form class="panel signin" autocomplete="off" aria-labelledby="signin-title" @submit=${submit}>
    <h2 id="signin-title">Sign in as the operator</h2>
    ${refused ? notice({ title: "The Worker did not accept that token.", next: "Check that it is the ADMIN_TOKEN of this Worker, then enter it again." }) : nothing}
    <p>The run registers a client and publishes an event, so it needs this Worker's <code>ADMIN_TOKEN</code>.</p>
    <div class="row">
      <label for="operator-token">Operator token</label>
      <input id="operator-token" name="operator-token" type="password" autocomplete="off" spellcheck="false" autocapitalize="off" required aria-describedby="signin-note">
      <button class="primary">Use this token</button>
    </div>
    <p class="note" id="signin-note">Kept in this tab only; forgotten when it closes.</p>
  </form>`;
}
