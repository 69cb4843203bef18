// Foreign text: anything a peer, a publisher or a stored record supplied.
// It is clipped, its control and direction characters are made visible, and
// templates put it into <bdi> or <pre>, so that it can neither run nor rearrange the page.

/** What the page shows of one body, in characters; beyond it the page says what it left out. */
export const SHOWN = 64 * 1024;

// Everything that acts instead of being seen; tab and newline stay, they are harmless in <pre>.
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** The text with every acting character written as its code point. */
export function visible(text) {
  return String(text).replace(ACTING, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** One line of foreign text of at most `most` characters. */
export function line(text, most = 200) {
  const one = String(text).replace(/\s+/g, " ");
  return visible(one.length > most ? one.slice(0, most - 1) + "…" : one);
}

/** A long identifier with its middle left out: both ends are what people compare. */
export function middle(text, ends = 6) {
  const one = line(text, 1000);
  return one.length <= 2 * ends + 3 ? one : one.slice(0, ends) + "…" + one.slice(-ends);
}

/** A path whose long segments are clipped in the middle. */
export function path(text) {
  return line(text, 2000).split("?")[0].split("/").map((part) => middle(part, 4).length < part.length && part.length > 28 ? middle(part, 4) : part).join("/");
}

/** A body of at most `SHOWN` characters, and how many were left out. */
export function body(text) {
  const left = text.length - SHOWN;
  return { text: visible(left > 0 ? text.slice(0, SHOWN) : text), left: Math.max(0, left) };
}
