// What to do next when a call of the run is refused: each with its reason, and the step from which the run can go on.

import { Problem } from "../api.js";

/** Adds what the reader can do to a refused call, and says from which step the run can go on. */
export function advised(error, { key, uses, ready, admin, first }) {
  const problem = error instanceof Problem ? error : new Problem({ title: "This page has a fault", detail: String(error), next: "Reload the page." });
  let from = problem.resumeAt ?? key;
  if (problem.status === 401 && uses === "TOKEN") {
    problem.code = "signin";
    problem.next ??= "Sign in with another operator token, then run again from here.";
  } else if (problem.status === 401) {
    problem.next ??= "The client gets a new access token first.";
    from = "token";
  } else if (problem.status === 404 && ready) {
    problem.next ??= "What this run made is gone. Running again makes it anew.";
    from = first;
  } else if (problem.status === 421) {
    problem.next ??= "Open this page at the address that the Worker answers as.";
  } else if (problem.status === 503 && !admin) {
    problem.next ??= "Set ADMIN_TOKEN for this Worker, then run again.";
  }
  problem.next ??= problem.requestId ? "Run again from here, or look for the request id in the Worker's log." : "Run again from here.";
  return { problem, from };
}

/** No type of this event is asked for any more. */
export function untaken(exchange, first) {
  return Object.assign(new Problem({
    title: "No stream took the event",
    detail: "The Worker accepted it, and no stream asks for this type any more.",
    next: "What this run made is gone. Running again makes it anew.",
    exchange,
  }), { resumeAt: first });
}
