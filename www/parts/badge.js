// A status as a shape and a word; its colour only confirms it.

import { html, svg } from "../vendor/lit-html.js";
import { line } from "../text.js";

const SHAPES = {
  ok: svg`<circle cx="8" cy="8" r="7.25" fill="currentColor"></circle><path class="cut" d="m4.6 8.3 2.3 2.3 4.6-4.9" fill="none" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round"></path>`,
  warn: svg`<path d="M8 1.6 15.2 14.2H.8Z" fill="currentColor" stroke="currentColor" stroke-width="1.2" stroke-linejoin="round"></path>`,
  bad: svg`<rect x="1.5" y="1.5" width="13" height="13" rx="1.5" fill="currentColor"></rect>`,
  info: svg`<path d="m8 .8 7.2 7.2L8 15.2.8 8Z" fill="currentColor"></path>`,
  idle: svg`<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="2"></circle>`,
};

export function glyph(kind) {
  return html`<svg class="glyph" viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" focusable="false">${SHAPES[kind]}</svg>`;
}

/** `kind`: ok, warn, bad, info or idle. */
export function badge(kind, word) {
  return html`<span class=${`badge ${kind}`}>${glyph(kind)}<bdi>${line(word, 40)}</bdi></span>`;
}
