// Screens by address. Only fragments that begin with "#/" are routes; any other fragment
// (skip link, a step) is a place on the screen that is shown.

const ROUTES = [
  { pattern: /^\/$/, screen: () => import("./screens/start.js") },
];

const scrolls = new Map();

function route() {
  return location.hash.startsWith("#/") ? location.hash.slice(1) : null;
}

/** Shows the screen of the address, now and whenever the address changes. */
export function start({ main, failed }) {
  let shown = null;
  let leave = null;
  let turn = 0;

  async function go(first) {
    const to = route() ?? (first ? "/" : shown);
    if (to === shown) return;
    if (shown !== null) scrolls.set(shown, scrollY);
    const mine = (turn += 1);
    const known = ROUTES.find(({ pattern }) => pattern.test(to.split("?")[0]));
    try {
      const screen = await (known ? known.screen() : import("./screens/missing.js"));
      if (mine !== turn) return; // the reader went on meanwhile
      leave?.();
      shown = to;
      document.title = `${screen.title} · Heliograph`;
      leave = screen.show(main);
    } catch (error) {
      failed(error);
      return;
    }
    if (!first) {
      main.querySelector("h1")?.focus({ preventScroll: true });
      scrollTo(0, scrolls.get(to) ?? 0);
    }
  }

  addEventListener("hashchange", () => go(false));
  return go(true);
}
