// Waiting that can be cut short: by Stop, and by something that makes the next question worth asking now.

/** Resolves after `ms`, or as soon as the function handed to `waker` is called. Rejects when `signal` aborts. */
export function pause(ms, signal, waker) {
  return new Promise((resolve, reject) => {
    const end = (then) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      then();
    };
    const stop = () => end(() => reject(signal.reason));
    const timer = setTimeout(() => end(resolve), ms);
    signal.addEventListener("abort", stop, { once: true });
    waker?.(() => end(resolve));
  });
}

/** Resolves once the page can be seen: a page that nobody looks at asks for nothing. */
export function seen(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const end = (then) => {
      document.removeEventListener("visibilitychange", shown);
      signal.removeEventListener("abort", stop);
      then();
    };
    const shown = () => document.hidden || end(resolve);
    const stop = () => end(() => reject(signal.reason));
    document.addEventListener("visibilitychange", shown);
    signal.addEventListener("abort", stop, { once: true });
  });
}
