// Tabs: one panel at a time, arrow keys between them, one tab stop for the row.

import { html } from "../vendor/lit-html.js";

/** `tabs`: [{ key, label, panel }]. `id` is unique on the page; `aside` stands at the end of the row. */
export function tabs({ id, label, tabs: all, chosen, choose, aside }) {
  const at = Math.max(0, all.findIndex(({ key }) => key === chosen));
  const move = (event) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = all[(to + all.length) % all.length];
    choose(next.key);
    document.getElementById(`${id}-${next.key}-tab`)?.focus();
  };
  return html`<div class="tabs">
    <div class="tab-row">
      <div role="tablist" aria-label=${label} @keydown=${move}>
        ${all.map((tab, i) => html`<button type="button" role="tab" id=${`${id}-${tab.key}-tab`} aria-controls=${`${id}-${tab.key}`}
          aria-selected=${i === at ? "true" : "false"} tabindex=${i === at ? 0 : -1} @click=${() => choose(tab.key)}>${tab.label}</button>`)}
      </div>
      <div class="tab-aside">${aside}</div>
    </div>
    ${all.map((tab, i) => html`<div role="tabpanel" class="tab-panel" id=${`${id}-${tab.key}`} aria-labelledby=${`${id}-${tab.key}-tab`} ?hidden=${i !== at}>${tab.panel}</div>`)}
  </div>`;
}
