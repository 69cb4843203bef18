// Instants and durations as text. Stored and compared in UTC milliseconds; shown in the zone the reader chose.

const KEY = "heliograph.times";
let zone = remembered();

function remembered() {
  try {
    return localStorage.getItem(KEY) === "utc" ? "utc" : "local";
  } catch {
    return "local"; // storage refused: the choice lasts as long as the page
  }
}

export function timesIn() {
  return zone;
}

export function showTimesIn(choice) {
  zone = choice === "utc" ? "utc" : "local";
  try {
    localStorage.setItem(KEY, zone);
  } catch { /* as above */ }
}

/** "21 Nov 2025, 14:03:20.381 UTC": always absolute, always with its zone. */
export function instant(ms, { fraction = true } = {}) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "not a time";
  return new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit",
    fractionalSecondDigits: fraction ? 3 : undefined,
    timeZoneName: "short",
    timeZone: zone === "utc" ? "UTC" : undefined,
  }).format(at);
}

/** "4.1 ms", "31 ms", "1.24 s": never more digits than mean something. */
export function took(ms) {
  if (ms < 1) return "<1 ms";
  if (ms < 10 && !Number.isInteger(ms)) return (Math.round(ms * 10) / 10).toFixed(1).replace(/\.0$/, "") + " ms";
  if (ms < 999.5) return Math.round(ms) + " ms";
  return (ms / 1000).toFixed(ms < 10000 ? 2 : 1) + " s";
}

/** The same for a voice: "31 milliseconds". */
export function spoken(ms) {
  if (ms < 1) return "less than a millisecond";
  if (ms >= 1000) return (ms / 1000).toFixed(1) + " seconds";
  const n = Math.round(ms);
  return n === 1 ? "1 millisecond" : n + " milliseconds";
}
