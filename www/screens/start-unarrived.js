// Why an event that was published has not come round, and what becomes of it.

import { Problem } from "../api.js";
import { instant } from "../time.js";

/** It was sent, and not accepted. `who` receives. */
export function refusal(delivery, who) {
  const { status, detail, attempt, next_attempt_at: next } = delivery;
  const restated = status !== null && new RegExp(`^\\D*${status}$`).test(detail ?? "");
  const fate = next === null
    ? delivery.outcome === "dead" ? "The event is a dead letter now: it is kept, and not sent again by itself." : "The transmitter keeps the event and waits."
    : `Attempt ${attempt} failed; the transmitter sends the same SET again at ${instant(next)}.`;
  return Object.assign(new Problem({
    title: status === null ? `${who} did not answer` : `${who} answered ${status}`,
    detail: [restated || !detail ? null : `${detail}.`, fate].filter(Boolean).join(" "),
    next: delivery.outcome === "dead" ? "Running again publishes a new event." : "Run again from here to go on waiting for it, or delete what this run made and start afresh.",
  }), { resumeAt: delivery.outcome === "dead" ? "publish" : "sign" });
}

/** The event was never sent; `stream` is what the Worker says of the stream instead. */
export function unsent(stream, ms) {
  const waiting = stream?.queued_events;
  const said = [waiting === 1 ? "1 event is waiting in the stream." : `${waiting ?? "An unknown number of"} events are waiting in the stream.`];
  if (stream?.last_error) said.push(`Last error: ${stream.last_error.detail}.`);
  return new Problem({
    title: `The event was not sent within ${ms / 1000} seconds`,
    detail: said.join(" "),
    next: "It is stored and is not lost. Run again from here: it goes on waiting for the same event.",
  });
}

/** Accepted by the receiver, and not in its inbox. */
export function unlisted(ms) {
  return new Problem({
    title: "The receiver answered 202, but its inbox does not list the event",
    detail: `This page asked for ${ms / 1000} seconds.`,
    next: "Run again from here: it asks once more.",
  });
}
