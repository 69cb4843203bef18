// The Worker's records of what it sent and received, as exchanges in the shape that the page's own calls have.

import { text as curlText } from "../curl.js";

/** Headers that curl makes itself. */
const IMPLIED = new Set(["host", "content-length", "connection", "accept-encoding"]);
/** The address to call back holds a secret, which the Worker masks: a copied command cannot carry it. */
const CALLBACK = "webhook-request-callback";

const header = (message, wanted) => message?.headers.find(([name]) => name.toLowerCase() === wanted)?.[1] ?? null;

/** One recorded attempt. Its secret was masked by the Worker; in the curl text it is a variable. */
export function pushed(delivery, facts) {
  const { request, response } = delivery;
  return exchange({ at: delivery.sent_at, ms: delivery.push_ms, request, response }, facts);
}

/** The handshake's question and its answer, as the transmitter recorded them. */
export function asked(recorded) {
  return exchange(recorded, null);
}

/** The same from the receiver's record, which has no times of its own. */
export function answered(entry) {
  return exchange({ at: entry.asked_at, ms: null, ...entry.exchange }, null);
}

function exchange({ at, ms, request, response, error = null }, facts) {
  const secret = (name) => name.toLowerCase() === "authorization";
  return {
    from: "record",
    at,
    ms,
    error,
    requestId: header(response, "x-request-id"),
    request: {
      method: request.method,
      path: pathOf(request.url),
      headers: request.headers.map(([name, text]) => [name, secret(name) ? "•••" : name.toLowerCase() === CALLBACK ? text.replace(/\*{3,}/, "•••") : text]),
      body: request.body ?? null,
      curl: curlText({
        method: request.method,
        url: request.url,
        headers: request.headers
          .filter(([name]) => !IMPLIED.has(name.toLowerCase()) && name.toLowerCase() !== CALLBACK)
          .map(([name, text]) => [name, secret(name) && facts ? facts.receiverAuth.mark() : text]),
        body: request.body ?? null,
      }),
    },
    response,
  };
}

/** The path of a recorded address, or all of it where it is none. */
export function pathOf(url) {
  try {
    return new URL(url).pathname;
  } catch {
    return url;
  }
}
