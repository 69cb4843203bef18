// An instant as an absolute time with its zone, machine-readable as well.

import { html } from "../vendor/lit-html.js";
import { instant } from "../time.js";

export function time(ms) {
  const at = new Date(ms);
  return Number.isNaN(at.getTime())
    ? html`<span>not a time</span>`
    : html`<time datetime=${at.toISOString()}>${instant(ms)}</time>`;
}
