// One line for each step that really does something: what it is, how long it may take, how long it took.

/** The step whose line is still open at the end of what was printed. */
let open = null;

/** Announces `what`, does it, prints its duration. `hint` says why it may take long. Steps may overlap. */
export async function step(what, hint, body) {
  const started = Date.now();
  const line = {};
  print(`heliograph: ${what}${hint ? ` (${hint})` : ''} ... `);
  open = line;
  const finish = (how) => {
    if (open === line) process.stderr.write(`${how}${seconds(started)}\n`);
    else print(`heliograph: ${what}: ${how}${seconds(started)}\n`);
    open = open === line ? null : open;
  };
  try {
    const result = await body();
    finish('');
    return result;
  } catch (error) {
    finish('failed after ');
    throw error;
  }
}

export function note(text) {
  print(`heliograph: ${text}\n`);
}

/** Writes on a line of its own. */
function print(text) {
  process.stderr.write(`${open ? '\n' : ''}${text}`);
  open = null;
}

const seconds = (started) => `${((Date.now() - started) / 1000).toFixed(1)} s`;
