// The example events of the guided run: one of each kind that people ask for first,
// and between them the most common ways of naming a subject.

const CAEP = "https://schemas.openid.net/secevent/caep/event-type/";

export const EXAMPLES = [
  {
    name: "session-revoked",
    title: "Session revoked",
    subject: { format: "email", email: "ana@example.com" },
    event: { initiating_entity: "admin", reason_admin: { en: "Sign-in from a lost laptop" } },
  },
  {
    name: "credential-change",
    title: "Credential change",
    subject: { format: "iss_sub", iss: "https://idp.example.com", sub: "9f2c41" },
    event: { credential_type: "fido2-roaming", change_type: "revoke", friendly_name: "Blue key", initiating_entity: "user" },
  },
  {
    name: "device-compliance-change",
    title: "Device compliance change",
    subject: {
      format: "complex",
      user: { format: "email", email: "ana@example.com" },
      device: { format: "opaque", id: "laptop-4821" },
    },
    event: { previous_status: "compliant", current_status: "not-compliant", initiating_entity: "policy" },
  },
  {
    name: "assurance-level-change",
    title: "Assurance level change",
    subject: { format: "email", email: "ana@example.com" },
    event: { namespace: "NIST-AAL", previous_level: "nist-aal2", current_level: "nist-aal1", change_direction: "decrease" },
  },
  {
    name: "risk-level-change",
    title: "Risk level change",
    subject: { format: "opaque", id: "user-7731" },
    event: { principal: "USER", previous_level: "LOW", current_level: "HIGH", risk_reason: "IMPOSSIBLE_TRAVEL" },
  },
];

export const TYPES = EXAMPLES.map(({ name }) => CAEP + name);

export const typeOf = (name) => CAEP + name;

/** One event to publish, in the shape of `POST /events`. `at` is in seconds. */
export function draft(name, { id, txn, at }) {
  const example = EXAMPLES.find((it) => it.name === name) ?? EXAMPLES[0];
  return {
    id,
    type: typeOf(example.name),
    sub_id: example.subject,
    event: { event_timestamp: at, ...example.event },
    txn,
    toe: at,
  };
}
