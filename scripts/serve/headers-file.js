// The `_headers` file of static assets, with the meaning that Workers assets give it:
// a line that starts with `/` or `https://` opens a rule, `Name: value` sets a header, `! Name` takes one away;
// in a pattern `*` matches anything (`:splat`) and `:name` one segment; all rules that match apply, in order, and a header
// set by two rules gets both values.

/** Parses the file to `[{ pattern, set: [[name, value]], unset: [name] }]`. */
export function parseHeadersFile(text) {
  const rules = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (/^(\/|https:\/\/)/.test(line)) {
      rules.push({ host: line.startsWith('https://'), pattern: compile(line), set: [], unset: [] });
      continue;
    }
    const rule = rules.at(-1);
    if (!rule) continue;
    if (line.startsWith('!')) {
      rule.unset.push(line.slice(1).trim());
    } else if (line.includes(':')) {
      const colon = line.indexOf(':');
      rule.set.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
    }
  }
  return rules;
}

/** Applies the rules that match `url` to `headers`. */
export function applyHeaders(rules, url, headers) {
  const written = new Set();
  for (const rule of rules) {
    const found = rule.pattern.exec(rule.host ? `https://${url.hostname}${url.pathname}` : url.pathname);
    if (!found) continue;
    for (const name of rule.unset) headers.delete(name);
    for (const [name, template] of rule.set) {
      const value = fill(template, found.groups ?? {});
      const again = written.has(name.toLowerCase());
      written.add(name.toLowerCase());
      if (again) headers.append(name, value);
      else headers.set(name, value);
    }
  }
}

function compile(pattern) {
  const source = pattern
    .split('*').map((part) => part.replace(/[-/\\^$+?.()|[\]{}]/g, '\\$&')).join('(?<splat>.*)')
    .replace(/:([A-Za-z]\w*)/g, '(?<$1>[^/]+)');
  return new RegExp(`^${source}$`);
}

function fill(template, values) {
  return Object.entries(values).reduce((text, [name, value]) => text.replaceAll(`:${name}`, value), template);
}
