// The script of the guided run: what each step is called, between whom it happens,
// what it is for, and the request it sends where this page is the sender.
// Lanes: 0 you (this page), 1 transmitter, 2 receiver.

import { TYPES, draft } from "./start-events.js";

export const LANES = ["You", "Transmitter", "Receiver"];

/** A value as one segment of a path, or its slot while it is unknown. */
const segment = (slot) => slot.known ? encodeURIComponent(slot.reveal()) : slot.mark();

export const SETUP = [
  {
    key: "source", from: 0, to: 2, label: "Create a source", path: "POST /admin/sources",
    what: "A source is an inbox for one transmitter. You name the issuer it trusts and the audience it answers to. Back come a receive URL and the secret that a push must carry.",
    request: (f) => ({
      method: "POST", path: "/admin/sources", auth: { bearer: f.operator },
      json: { issuer: f.issuer, audience: f.audience, delivery: "push", description: `Guided run ${f.name}` },
    }),
  },
  {
    key: "client", from: 0, to: 1, label: "Register a client", path: "POST /admin/clients",
    what: "The receiver becomes a client of the transmitter. Its push endpoint is registered with it, so the transmitter knows beforehand that this endpoint wants the events.",
    request: (f) => ({
      method: "POST", path: "/admin/clients", auth: { bearer: f.operator },
      json: { client_name: `Guided run ${f.name}`, scope: "ssf.read ssf.manage", audience: f.audience, push_endpoints: [f.receiveUrl] },
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
    key: "configuration", from: 0, to: 1, label: "Read the metadata", path: "GET /.well-known/ssf-configuration",
    what: "Public, and the only address a receiver has to know: it says who the issuer is and where its keys and its stream API are.",
    request: () => ({ method: "GET", path: "/.well-known/ssf-configuration" }),
  },
  {
    key: "stream", from: 0, to: 1, label: "Create a stream", path: "POST /ssf/streams",
    what: "The client asks for five types of event, pushed to the receive URL of step 1 with its secret in the Authorization header.",
    request: (f) => ({
      method: "POST", path: "/ssf/streams", auth: { bearer: f.accessToken },
      json: {
        delivery: { method: "urn:ietf:rfc:8935", endpoint_url: f.receiveUrl, authorization_header: f.receiverAuth },
        events_requested: TYPES,
        description: `Guided run ${f.name}`,
      },
    }),
  },
];

export const EVENT = [
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
    key: "deliver", from: 1, to: 2, busy: "first", label: "Push the SET", path: "POST /receive/…",
    what: "The transmitter posts the token to the receive URL. This is the exchange as the transmitter recorded it, with its secret masked.",
  },
  {
    key: "keys", from: 2, to: 1, busy: "through", label: "Fetch the keys", path: "GET /jwks.json",
    what: "The receiver takes the keys from where the issuer publishes them, never from the token. It keeps them for a while, so on a second run nothing needs to be fetched.",
  },
  {
    key: "verify", at: 2, busy: "through", label: "Verify and store", path: "then keep it once",
    what: "Signature, algorithm, type, issuer and audience are checked in a fixed order. What passes is stored once by issuer and jti, however often it is sent.",
  },
  {
    key: "answer", from: 2, to: 1, label: "Accept", path: "202, empty body", back: true, busy: "last",
    what: "202 tells the transmitter that the event is stored. Without it, the same SET is sent again later. The time runs from sending to this answer, so steps 9 and 10 are inside it.",
  },
  {
    key: "read", from: 0, to: 2, label: "Read the inbox", path: "GET /admin/sources/…/events",
    what: "Your application reads what arrived, by cursor: it never sees an event twice and never misses one.",
    request: (f) => ({
      method: "GET",
      path: `/admin/sources/${segment(f.sourceId)}/events${f.cursor ? `?after=${encodeURIComponent(f.cursor)}` : ""}`,
      auth: { bearer: f.operator },
    }),
  },
];

export const STEPS = [...SETUP, ...EVENT].map((step, index) => ({ ...step, number: index + 1 }));

export const numberOf = (key) => STEPS.find((step) => step.key === key).number;

/** "You to Transmitter", or the one who works alone. */
export function ends(step) {
  return step.at === undefined ? `${LANES[step.from]} to ${LANES[step.to]}` : LANES[step.at];
}
