// In which order the functions of a wasm compress best: gzip finds what is alike only where it is close, within 32 KB.
// Reads and writes as little of the format as it takes: the bodies of functions, and names that say the order.

/** Runs of this many bytes are compared: shorter ones are alike by chance, longer ones are rarely alike. */
const RUN = 6;
/** How far back likeness counts: somewhat less than gzip sees. */
const WINDOW = 28_000;
/** What a long function is worth: its length to this power. At 1 the short ones would all come first, at 0 the long ones. */
const LENGTH_POWER = 0.65;

/** Sections, and kinds of imports. */
const CUSTOM = 0;
const IMPORT = 2;
const CODE = 10;
const FUNCTION = 0;
const TAG = 4;

/** The wasm with names that sort its functions into the best order: for wasm-opt's `--reorder-functions-by-name`. */
export function namedByLikeness(wasm) {
  const { bodies, imported } = functions(wasm);
  const order = byLikeness(bodies);
  const entries = [];
  order.forEach((body, place) => entries.push([imported + body, String(place).padStart(6, '0')]));
  entries.sort(([a], [b]) => a - b);
  const names = Buffer.concat([number(entries.length), ...entries.flatMap(([index, name]) => [number(index), text(name)])]);
  const section = Buffer.concat([text('name'), sized(1, names)]);
  return Buffer.concat([wasm, sized(CUSTOM, section)]);
}

/** One after another, each time the function that has most in common with what was placed just before. */
function byLikeness(bodies) {
  const runs = sharedRuns(bodies);
  const homes = new Map();
  runs.forEach((of, body) => { for (const run of of) homes.get(run)?.push(body) ?? homes.set(run, [body]); });

  const common = new Float64Array(bodies.length);
  const weight = bodies.map((body) => (body.length + RUN) ** LENGTH_POWER);
  const inWindow = new Map();
  const count = (body, step) => {
    for (const run of runs[body]) {
      const before = inWindow.get(run) ?? 0;
      inWindow.set(run, before + step);
      if (before === 0 || before + step === 0) for (const other of homes.get(run)) common[other] += step;
    }
  };

  const waiting = new Set(bodies.keys());
  const order = [];
  let oldest = 0;
  let bytes = 0;
  while (waiting.size > 0) {
    let next;
    for (const body of waiting) if (next === undefined || common[body] / weight[body] > common[next] / weight[next]) next = body;
    waiting.delete(next);
    order.push(next);
    count(next, 1);
    bytes += bodies[next].length;
    for (; bytes > WINDOW && oldest < order.length - 1; oldest += 1) {
      count(order[oldest], -1);
      bytes -= bodies[order[oldest]].length;
    }
  }
  return order;
}

/** The runs of bytes that each body has in common with any other, as hashes. */
function sharedRuns(bodies) {
  const all = bodies.map((body) => {
    const runs = new Set();
    for (let at = 0; at + RUN <= body.length; at += 1) {
      let hash = 0;
      for (let i = at; i < at + RUN; i += 1) hash = (Math.imul(hash, 31) + body[i] + 1) | 0;
      runs.add(hash);
    }
    return runs;
  });
  const seen = new Map();
  for (const runs of all) for (const run of runs) seen.set(run, (seen.get(run) ?? 0) + 1);
  return all.map((runs) => [...runs].filter((run) => seen.get(run) > 1));
}

/** The bodies of the functions, and how many are imported: those have the first indices. */
function functions(wasm) {
  let bodies = [];
  let imported = 0;
  for (let at = 8; at < wasm.length;) {
    const reader = new Reader(wasm, at + 1);
    const end = reader.number() + reader.at;
    if (wasm[at] === IMPORT) imported = importedFunctions(reader);
    if (wasm[at] === CODE) bodies = reader.list(() => reader.bytes());
    at = end;
  }
  return { bodies, imported };
}

/** wasm-bindgen's output imports functions and the tag of JavaScript's exceptions; anything else would need more reading. */
function importedFunctions(reader) {
  const kinds = reader.list(() => {
    reader.bytes();
    reader.bytes();
    const kind = reader.number();
    if (kind !== FUNCTION && kind !== TAG) throw new Error(`the wasm has an import of kind ${kind}`);
    if (kind === TAG) reader.number();
    reader.number();
    return kind;
  });
  return kinds.filter((kind) => kind === FUNCTION).length;
}

class Reader {
  constructor(wasm, at) {
    this.wasm = wasm;
    this.at = at;
  }

  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.wasm[this.at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  bytes() {
    const length = this.number();
    this.at += length;
    return this.wasm.subarray(this.at - length, this.at);
  }

  list(entry) {
    return Array.from({ length: this.number() }, entry);
  }
}

function number(value) {
  const bytes = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

const text = (string) => Buffer.concat([number(string.length), Buffer.from(string)]);
const sized = (id, content) => Buffer.concat([Buffer.from([id]), number(content.length), content]);
