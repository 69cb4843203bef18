// The script of the guided run: what each step is called, between whom it happens, what it is for, and the request
// it sends where this page is the sender. The receiver is this Worker ("worker") or an endpoint of your own ("endpoint"):
// what happens inside somebody else's endpoint is not ours to show, so that script has fewer steps.
// Lanes: 0 you (this page), 1 transmitter, 2 receiver.

import { TYPES, draft } from "./start-events.js";

/** A value as one segment of a path, or its slot while it is unknown. */
const segment = (slot) => slot.known ? encodeURIComponent(slot.reveal()) : slot.mark();

const SETUP = [
  {
    key: "client", from: 0, to: 1, label: "Register a client", path: "POST /admin/clients",
    what: "The receiver becomes a client of the transmitter. It registers no push endpoint here, so nothing is agreed beforehand: the endpoint itself is asked later.",
    request: (f) => ({
      method: "POST", path: "/admin/clients", auth: { bearer: f.operator },
      json: { client_name: `Guided run ${f.name}`, scope: "ssf.read ssf.manage", audience: f.audience },
    }),
  },
  {
    key: "token", from: 0, to: 1, label: "Get an access token", path: "POST /oauth/token",
    what: "The client proves itself with its id and secret (OAuth client credentials) and gets an access token for a limited time.",
    request: (f) => ({
      method: "POST", path: "/oauth/token", auth: { basic: [f.clientId, f.clientSecret] },
      form: { grant_type: "client_credentials" },
    }),
  },
  {
    key: "source", only: "worker", from: 0, to: 2, label: "Create a source", path: "POST /admin/sources",
    what: "A source is an inbox for one transmitter. You name the issuer it trusts, the audience it answers to, the host that may push here and how many requests a minute it may send. Back come a receive URL and the secret that a push must carry.",
    request: (f) => ({
      method: "POST", path: "/admin/sources", auth: { bearer: f.operator },
      json: {
        issuer: f.issuer, audience: f.audience, delivery: "push",
        allowed_origins: [new URL(f.issuer).hostname], allowed_rate: 60,
        description: `Guided run ${f.name}`,
      },
    }),
  },
  {
    key: "stream", from: 0, to: 1, label: "Create a stream", path: "POST /ssf/streams",
    what: {
      worker: "The client asks for five types of event, pushed to the receive URL of step 3 with its secret in the Authorization header. The stream stays paused until that endpoint consents.",
      endpoint: "The client asks for five types of event, pushed to your endpoint. The stream stays paused until that endpoint consents.",
    },
    request: (f) => ({
      method: "POST", path: "/ssf/streams", auth: { bearer: f.accessToken },
      json: {
        delivery: f.target === "worker"
          ? { method: "urn:ietf:rfc:8935", endpoint_url: f.receiveUrl, authorization_header: f.receiverAuth }
          : { method: "urn:ietf:rfc:8935", endpoint_url: f.endpointUrl },
        events_requested: TYPES,
        description: `Guided run ${f.name}`,
      },
    }),
  },
];

const EVENT = [
  {
    key: "ask", from: 1, to: 2, busy: "first", label: "Ask for consent", path: { worker: "OPTIONS /receive/…", endpoint: "OPTIONS to your endpoint" },
    what: "Nobody is pushed to who did not agree. Before the first event the transmitter asks the endpoint itself, and sends no event with it: may this origin send here, and this many requests a minute? It is the validation handshake of CloudEvents web hooks, shown as the transmitter recorded it.",
  },
  {
    key: "grant", from: 2, to: 1, back: true, busy: "last", first: "response", label: "Grant", path: "webhook-allowed-rate",
    what: "The endpoint answers for itself: which origin may send, and how many requests a minute. It can do so at once, with webhook-allowed-origin and webhook-allowed-rate in its answer, or later, by calling back.",
  },
  {
    key: "publish", from: 0, to: 1, label: (f) => `Publish ${f.choice}`, path: "POST /events",
    what: "Your back end says what happened, in one POST. The answer 202 comes once the event is stored, so it is not lost if everything stops right after it.",
    request: (f) => ({
      method: "POST", path: "/events", auth: { bearer: f.operator },
      json: { events: [draft(f.choice, f.event)] },
    }),
  },
  {
    key: "sign", at: 1, label: "Sign the SET", path: "a signed JWT",
    what: "The event becomes a Security Event Token (SET): a JWT that names issuer, audience, subject and event. It is signed when it is sent, so what waits in a queue never carries an old signature.",
  },
  {
    key: "deliver", from: 1, to: 2, busy: "first", label: "Push the SET", path: { worker: "POST /receive/…", endpoint: "POST to your endpoint" },
    what: {
      worker: "The transmitter posts the token to the receive URL, no sooner than the granted rate allows: the question of step 5 counts as well. This is the exchange as the transmitter recorded it, with its secret masked.",
      endpoint: "The transmitter posts the token to your endpoint, no sooner than the granted rate allows: the question of step 4 counts as well. This is the exchange as the transmitter recorded it.",
    },
  },
  {
    key: "keys", only: "worker", from: 2, to: 1, busy: "through", label: "Fetch the keys", path: "GET /jwks.json",
    what: "The receiver takes the keys from where the issuer publishes them, never from the token. It keeps them for a while, so on a second run nothing needs to be fetched.",
  },
  {
    key: "verify", only: "worker", at: 2, busy: "through", label: "Verify and store", path: "then keep it once",
    what: "Signature, algorithm, type, issuer and audience are checked in a fixed order. What passes is stored once by issuer and jti, however often it is sent.",
  },
  {
    key: "answer", from: 2, to: 1, label: "Accept", path: { worker: "202, empty body", endpoint: "202" }, back: true, busy: "last",
    what: {
      worker: "202 tells the transmitter that the event is stored. Without it, the same SET is sent again later. The time runs from sending to this answer, so steps 10 and 11 are inside it.",
      endpoint: "202 tells the transmitter that your endpoint has stored the event. Without it, the same SET is sent again later. The time runs from sending to this answer.",
    },
  },
  {
    key: "read", only: "worker", from: 0, to: 2, label: "Read the inbox", path: "GET /admin/sources/…/events",
    what: "Your application reads what arrived, by cursor: it never sees an event twice and never misses one.",
    request: (f) => ({
      method: "GET",
      path: `/admin/sources/${segment(f.sourceId)}/events${f.cursor ? `?after=${encodeURIComponent(f.cursor)}` : ""}`,
      auth: { bearer: f.operator },
    }),
  },
];

/** Where `$NAME` of a command comes from: the member and the step whose answer has it. */
const ORIGINS = {
  ACCESS_TOKEN: ["access token", "token"],
  CLIENT_ID: ["client_id", "client"],
  CLIENT_SECRET: ["client_secret", "client"],
  RECEIVER_AUTH: ["authorization_header", "source"],
  RECEIVE_URL: ["receive_url", "source"],
  SOURCE_ID: ["source_id", "source"],
  STREAM_ID: ["stream_id", "stream"],
};

function script(target) {
  const own = (text) => typeof text === "object" ? text[target] : text;
  const mine = (steps) => steps.filter(({ only }) => !only || only === target);
  const steps = [...mine(SETUP), ...mine(EVENT)].map((step, index) => ({ ...step, number: index + 1, what: own(step.what), path: own(step.path) }));
  const lanes = ["You", "Transmitter", target === "worker" ? "Receiver" : "Your endpoint"];
  const step = (key) => steps.find((it) => it.key === key);
  return {
    target,
    steps,
    setup: steps.slice(0, mine(SETUP).length),
    lanes,
    /** Who receives, in the middle of a sentence. */
    receiver: target === "worker" ? "the receiver" : "your endpoint",
    step,
    has: (key) => step(key) !== undefined,
    isSetup: (key) => SETUP.some((it) => it.key === key),
    numberOf: (key) => step(key).number,
    /** "You to Transmitter", or the one who works alone; `way` where a step went otherwise than planned. */
    ends: ({ from, to, at }) => at === undefined ? `${lanes[from]} to ${to === 2 && target === "endpoint" ? "your endpoint" : lanes[to]}` : lanes[at],
    meaning: (name) => {
      if (name === "TOKEN") return "the operator token";
      if (name === "ENDPOINT_URL") return "the address of your endpoint";
      const [member, key] = ORIGINS[name] ?? [];
      return step(key) ? `the ${member} of step ${step(key).number}` : "yours to fill in";
    },
  };
}

export const SCRIPTS = { worker: script("worker"), endpoint: script("endpoint") };
