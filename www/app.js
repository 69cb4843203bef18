// Starts the page: header controls, who you are, the screen of the address, and a last line of defence.

import { html, nothing, render } from "./vendor/lit-html.js";
import { notice } from "./parts/notice.js";
import { start } from "./router.js";
import { forget, meet, onSession, session } from "./session.js";
import { showTimesIn, timesIn } from "./time.js";

const part = (id) => document.getElementById(id);

/** Shows a fault of the page itself. It stays until the page is loaded again. */
function failed(error) {
  render(notice({
    title: "This page has a fault",
    detail: String(error?.message ?? error),
    next: html`What the Worker does is not affected. <a href="">Load the page again</a>.`,
  }), part("alert"));
}

addEventListener("error", (event) => failed(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => failed(event.reason));

function choice(name, current, choose) {
  for (const radio of document.querySelectorAll(`input[name=${name}]`)) {
    radio.checked = radio.value === current;
    radio.addEventListener("change", () => radio.checked && choose(radio.value));
  }
}

choice("theme", document.documentElement.dataset.theme ?? "auto", (theme) => {
  window.heliographTheme(theme);
  try {
    localStorage.setItem("heliograph.theme", theme);
  } catch { /* storage refused: the choice lasts as long as the page */ }
});
choice("times", timesIn(), (zone) => {
  showTimesIn(zone);
  dispatchEvent(new Event("times"));
});

function who() {
  const words = { development: "Development token", typed: "Signed in" }[session.kind];
  render(session.worker === "asking" && !session.kind ? nothing : html`
    <span class="state">${words ?? "Not signed in"}</span>
    ${session.kind === "typed" ? html`<button type="button" class="quiet small" @click=${forget}>Forget token</button>` : nothing}`, part("who"));
  part("version").textContent = session.version ? ` ${session.version}` : "";
}

onSession(who);
start({ main: part("main"), failed });
meet();
