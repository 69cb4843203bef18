// What a run makes in the Worker, by name and secret, and how it is removed again.

import { call, secret, value } from "../api.js";
import { session } from "../session.js";

export const random = (n) => Array.from(crypto.getRandomValues(new Uint8Array(n)), (b) => (b % 36).toString(36)).join("");

/** A set-up of which nothing is made yet. */
export function fresh() {
  const name = `tour-${random(4)}`;
  return {
    name,
    audience: `https://tour.example/${name}`,
    sourceId: value("SOURCE_ID"),
    receiveUrl: value("RECEIVE_URL"),
    receiverAuth: secret("RECEIVER_AUTH"),
    clientId: value("CLIENT_ID"),
    clientSecret: secret("CLIENT_SECRET"),
    accessToken: secret("ACCESS_TOKEN"),
    streamId: value("STREAM_ID"),
    /** The endpoint that the stream was made with. */
    endpoint: null,
    cursor: null,
    event: null,
  };
}

/** What there is of a set-up, as a list of words after "a" or "the": "client", "stream", "source". */
export function parts(setup, words) {
  const there = [setup.clientId.known && words.client, setup.streamId.known && words.stream, setup.sourceId.known && words.source].filter(Boolean);
  return there.length < 2 ? there[0] ?? null : `${there.slice(0, -1).join(", ")} and ${there.at(-1)}`;
}

/** Removes the clients with their streams, and the sources, with all they hold. What is already gone counts as removed. */
export async function removeAll(setups) {
  const gone = async (kind, slot) => {
    if (!slot.known) return;
    try {
      await call({ method: "DELETE", path: `/admin/${kind}/${encodeURIComponent(slot.reveal())}`, auth: { bearer: session.token } });
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  };
  for (const { clientId, sourceId } of setups) {
    await gone("clients", clientId);
    await gone("sources", sourceId);
  }
}
