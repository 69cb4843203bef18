// An address that no screen answers to.

import { html, render } from "../vendor/lit-html.js";

export const title = "No such page";

export function show(main) {
  main.replaceChildren();
  const root = main.appendChild(document.createElement("div"));
  render(html`
    <h1 tabindex="-1">No such page</h1>
    <p class="lead">This address leads nowhere. <a href="#/">Go to Start</a>.</p>`, root);
  return () => root.remove();
}
