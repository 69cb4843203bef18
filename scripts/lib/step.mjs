// One line for each step that really does something: what it is, how long it may take, how long it took.

/** Announces `what`, does it, prints its duration. `hint` says why it may take long. */
export async function step(what, hint, body) {
  const started = Date.now();
  process.stderr.write(`heliograph: ${what}${hint ? ` (${hint})` : ''} ... `);
  try {
    const result = await body();
    process.stderr.write(`${seconds(started)}\n`);
    return result;
  } catch (error) {
    process.stderr.write(`failed after ${seconds(started)}\n`);
    throw error;
  }
}

export function note(text) {
  process.stderr.write(`heliograph: ${text}\n`);
}

const seconds = (started) => `${((Date.now() - started) / 1000).toFixed(1)} s`;
