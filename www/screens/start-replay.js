// Replay of a finished run from its recording: one step at a time, by the clock or by hand.
// Where the reader asked for less motion, only by hand.

const PACE_MS = 900;

/** `steps()` are the steps of the run that is replayed; `byPointer` says how it was started. */
export function replay({ changed, said, steps }) {
  let timer = null;
  const player = {
    on: false,
    at: 0,
    byPointer: false,
    get count() { return steps().length; },
    /** Whether a step is still to come. */
    hides(step) {
      return player.on && steps().indexOf(step) >= player.at;
    },
    start() {
      player.on = true;
      player.at = 0;
      player.next();
    },
    next() {
      clearTimeout(timer);
      if (player.at >= player.count) return player.end();
      player.at += 1;
      changed();
      if (calm()) return;
      if (player.byPointer) requestAnimationFrame(show);
      timer = setTimeout(() => player.next(), PACE_MS);
    },
    end() {
      clearTimeout(timer);
      if (!player.on) return;
      player.on = false;
      said("Replay ended");
      changed();
    },
  };

  function show() {
    const rows = document.querySelectorAll(".sequence .step:not(.is-idle)");
    rows[rows.length - 1]?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
  return player;
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
