// Delivery records of the Worker as exchanges, in the shape that the page's own calls have.

import { text as curlText } from "../curl.js";

/** Headers that curl makes itself. */
const IMPLIED = new Set(["host", "content-length", "connection", "accept-encoding"]);

/** One recorded attempt. Its secret was masked by the Worker; in the curl text it is a variable. */
export function pushed(delivery, facts) {
  const { request, response } = delivery;
  const headers = request.headers.map(([name, text]) => [name, name.toLowerCase() === "authorization" ? "•••" : text]);
  return {
    from: "record",
    at: delivery.sent_at,
    ms: delivery.push_ms,
    requestId: response?.headers.find(([name]) => name.toLowerCase() === "x-request-id")?.[1] ?? null,
    request: {
      method: request.method,
      path: pathOf(request.url),
      headers,
      body: request.body,
      curl: curlText({
        method: request.method,
        url: request.url,
        headers: request.headers
          .filter(([name]) => !IMPLIED.has(name.toLowerCase()))
          .map(([name, text]) => [name, name.toLowerCase() === "authorization" ? facts.receiverAuth.mark() : text]),
        body: request.body,
      }),
    },
    response,
  };
}

function pathOf(url) {
  try {
    return new URL(url).pathname;
  } catch {
    return url;
  }
}
