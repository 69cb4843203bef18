// A button that copies text. Where the browser offers no clipboard (plain http on another machine)
// it selects the text instead and says so. The outcome stays beside the button until the next press.

import { html } from "../vendor/lit-html.js";

let last = { key: null, said: "" };

/** `key` names the button across renderings, `name` is its full name for a voice; `fallback` finds the element to select. */
export function copyButton({ key, label, name, text, said, fallback, changed }) {
  const press = async () => {
    try {
      await navigator.clipboard.writeText(text());
      last = { key, said: "Copied" };
    } catch {
      const target = await fallback?.();
      if (target) getSelection().selectAllChildren(target);
      last = { key, said: target ? "Selected: copy it with your keyboard" : "This browser does not let the page copy" };
    }
    said(last.said);
    changed();
  };
  return html`<button type="button" class="small" aria-label=${name} @click=${press}>${label}</button><span class="said">${last.key === key ? last.said : ""}</span>`;
}
