// A request as one curl command that works when pasted. Secrets and unknown values
// are shell variables: everything else is quoted so that the shell reads it as it stands.

const SLOT = /\uE000([^\uE001]*)\uE001/g;

/** One shell word, with "$NAME" where the text has a slot. */
export function word(text) {
  const outside = text.replace(SLOT, "");
  if (outside !== text && !/["$`\\!]/.test(outside)) return `"${text.replace(SLOT, (_, name) => "$" + name)}"`;
  let out = "";
  let at = 0;
  const plain = (part) => {
    if (part !== "") out += "'" + part.replaceAll("'", "'\\''") + "'";
  };
  for (const hit of text.matchAll(SLOT)) {
    plain(text.slice(at, hit.index));
    out += `"$${hit[1]}"`;
    at = hit.index + hit[0].length;
  }
  plain(text.slice(at));
  return out === "" ? "''" : out;
}

/** `{ method, url, headers, body, basic }` with slots in its texts. */
export function text({ method, url, headers, body, basic = null }) {
  const lines = [method === "GET" ? "curl -sS" : `curl -sS -X ${method}`];
  if (basic) lines.push(`-u ${word(`${basic[0]}:${basic[1].mark()}`)}`);
  for (const [name, value] of headers) {
    if (name === "accept" || (basic && name === "authorization")) continue;
    lines.push(`-H ${word(`${name}: ${value}`)}`);
  }
  if (body) lines.push(`--data-raw ${word(body)}`);
  lines.push(word(decodeMarks(url)));
  return lines.join(" \\\n  ");
}

/** `URL` percent-encodes the slot marks; this puts them back. */
function decodeMarks(url) {
  return url.replaceAll("%EE%80%80", "\uE000").replaceAll("%EE%80%81", "\uE001");
}

/** The names of the shell variables a command needs. */
export function variables(command) {
  return [...new Set([...command.matchAll(/\$([A-Z_]{4,})/g)].map((hit) => hit[1]))];
}
