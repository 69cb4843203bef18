// A push endpoint on loopback.

import http from 'node:http';

const PATIENCE_MS = 180_000;
/** Longer than any pause of a benchmark: connections stay open. */
const KEEP_ALIVE_MS = 120_000;

/**
 * Answers every push after `rttMs` milliseconds, with 202 or what `answer(body)` says. `expect(n)` resolves to the time at
 * which the nth push from now arrived that was answered with 202.
 */
export async function startReceiver({ rttMs = 0, answer = null } = {}) {
  let left = 0;
  let done = null;
  const server = http.createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    let body = '';
    if (answer) request.setEncoding('utf8').on('data', (chunk) => { body += chunk; });
    else request.resume();
    request.on('end', () => {
      const status = answer ? answer(body) : 202;
      const arrived = performance.now();
      const reply = () => {
        response.writeHead(status, { 'content-length': 0 }).end();
        if (status !== 202) return;
        left -= 1;
        if (left === 0) done(arrived);
      };
      if (rttMs > 0) setTimeout(reply, rttMs);
      else reply();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/events`,
    expect: (count) => new Promise((resolve, reject) => {
      const patience = setTimeout(() => reject(new Error(`${left} of ${count} events did not arrive within ${PATIENCE_MS / 1000} s`)), PATIENCE_MS);
      left = count;
      done = (at) => { clearTimeout(patience); resolve(at); };
    }),
    close: () => { server.closeAllConnections(); server.close(); },
  };
}
