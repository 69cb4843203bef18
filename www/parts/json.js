// JSON for reading: re-indented from the raw text without parsing a value, so that large numbers,
// repeated members and the order of members are seen as they were sent. Text nodes only.

import { html } from "../vendor/lit-html.js";
import { instant } from "../time.js";
import { SHOWN, body } from "../text.js";

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\],:]|\s+/y;
/** Members whose number is seconds since 1970; the date is written beside them. */
const INSTANTS = new Set(["iat", "exp", "nbf", "toe", "event_timestamp", "client_id_issued_at"]);
const OPENS = { "{": "}", "[": "]" };

/** `[{ kind, text }]`, or null when the text is not JSON. */
export function tokens(raw) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < raw.length) {
    const hit = TOKEN.exec(raw);
    if (!hit) return null;
    const text = hit[0];
    if (/^\s/.test(text)) continue;
    const kind = text[0] === '"' ? "string" : "{}[],:".includes(text) ? "mark" : /^[-\d]/.test(text) ? "number" : "word";
    if (text === ":" && found.at(-1)?.kind === "string") found.at(-1).kind = "key";
    found.push({ kind, text });
  }
  return found.length > 0 ? found : null;
}

function laidOut(found) {
  const out = [];
  let depth = 0;
  let member = null;
  let aside = null; // a date, written after the comma that follows its number
  const say = () => {
    if (aside) out.push({ kind: "aside", text: aside });
    aside = null;
  };
  const newline = () => out.push({ kind: "mark", text: "\n" + "  ".repeat(depth) });
  found.forEach((token, i) => {
    const next = found[i + 1]?.text;
    if (token.text !== ",") say();
    if (token.kind === "key") member = token.text.slice(1, -1);
    if (token.text in OPENS && token.kind === "mark") {
      out.push(token);
      if (next !== OPENS[token.text]) {
        depth += 1;
        newline();
      }
    } else if (token.kind === "mark" && (token.text === "}" || token.text === "]")) {
      if (!(found[i - 1]?.text in OPENS)) {
        depth -= 1;
        newline();
      }
      out.push(token);
    } else if (token.kind === "mark" && token.text === ",") {
      out.push(token);
      say();
      newline();
    } else if (token.kind === "mark" && token.text === ":") {
      out.push({ kind: "mark", text: ": " });
    } else {
      out.push(token);
      if (token.kind === "number" && INSTANTS.has(member)) {
        aside = `  ${instant(Number(token.text) * 1000, { fraction: false })}`;
      }
    }
  });
  return out;
}

/** The inside of a `<pre>`: coloured where the text is JSON, as it stands where it is not. */
export function json(raw) {
  const { text, left } = body(raw);
  const found = left === 0 && raw.length <= SHOWN ? tokens(text) : null;
  if (!found) return html`${text}${left > 0 ? html`<span class="j-aside">\n… ${left} more characters are not shown</span>` : ""}`;
  return laidOut(found).map(({ kind, text: part }) => kind === "mark" ? part : html`<span class=${`j-${kind}`}>${part}</span>`);
}
