// Something that went wrong or needs attention: what, why, what next. It stays until its cause is gone.

import { html, nothing } from "../vendor/lit-html.js";
import { line } from "../text.js";
import { glyph } from "./badge.js";

export function notice({ kind = "bad", title, detail = null, requestId = null, next = null, action = nothing }) {
  return html`<div class=${`notice ${kind}`}>
    ${glyph(kind)}
    <div>
      <p class="what"><bdi>${line(title, 300)}</bdi></p>
      ${detail ? html`<p><bdi>${line(detail, 600)}</bdi></p>` : nothing}
      ${next ? html`<p>${next}</p>` : nothing}
      ${requestId ? html`<p class="request-id">Request id <code><bdi>${line(requestId, 80)}</bdi></code></p>` : nothing}
      ${action === nothing ? nothing : html`<p class="actions">${action}</p>`}
    </div>
  </div>`;
}

/** A `Problem` as a notice. */
export function problemNotice(problem, action = nothing) {
  return notice({ title: problem.message, detail: problem.detail, requestId: problem.requestId, next: problem.next, action });
}
