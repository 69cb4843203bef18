//! The event types of CAEP 1.0 and their members (sections 2 and 3).

use super::rule::{Member, Rule};
use super::{EventType, Family, SubjectRule};

const INITIATORS: &[&str] = &["admin", "user", "policy", "system"];
const CHANGE_TYPES: &[&str] = &["create", "revoke", "update", "delete"];
const DIRECTIONS: &[&str] = &["increase", "decrease"];
const COMPLIANCE: &[&str] = &["compliant", "not-compliant"];
// CAEP-3.8-7: upper case here, unlike every other closed set of CAEP.
const RISK_LEVELS: &[&str] = &["LOW", "MEDIUM", "HIGH"];

const TIMESTAMP: Member = Member::optional("event_timestamp", Rule::Seconds);
const INITIATOR: Member = Member::optional("initiating_entity", Rule::OneOf(INITIATORS));
const REASON_ADMIN: Member = Member::optional("reason_admin", Rule::LanguageMap);
const REASON_USER: Member = Member::optional("reason_user", Rule::LanguageMap);

const fn caep(uri: &'static str, name: &'static str, members: &'static [Member]) -> EventType {
    EventType {
        uri,
        name,
        family: Family::Caep,
        members,
        subject: SubjectRule::Any,
    }
}

pub(super) const TYPES: [EventType; 8] = [
    caep(
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
        "session-revoked",
        &[TIMESTAMP, INITIATOR, REASON_ADMIN, REASON_USER],
    ),
    caep(
        "https://schemas.openid.net/secevent/caep/event-type/token-claims-change",
        "token-claims-change",
        &[
            TIMESTAMP,
            INITIATOR,
            REASON_ADMIN,
            REASON_USER,
            Member::required("claims", Rule::Claims),
        ],
    ),
    caep(
        "https://schemas.openid.net/secevent/caep/event-type/credential-change",
        "credential-change",
        &[
            TIMESTAMP,
            INITIATOR,
            REASON_ADMIN,
            REASON_USER,
            // CAEP-3.3-9: the kinds of credentials are an open set, what happens to them a closed one.
            Member::required("credential_type", Rule::Text),
            Member::required("change_type", Rule::OneOf(CHANGE_TYPES)),
            Member::optional("friendly_name", Rule::Text),
            Member::optional("x509_issuer", Rule::Text),
            Member::optional("x509_serial", Rule::Text),
            Member::optional("fido2_aaguid", Rule::Text),
        ],
    ),
    caep(
        "https://schemas.openid.net/secevent/caep/event-type/assurance-level-change",
        "assurance-level-change",
        &[
            TIMESTAMP,
            INITIATOR,
            REASON_ADMIN,
            REASON_USER,
            Member::required("namespace", Rule::Text),
            Member::required("current_level", Rule::Text),
            Member::optional("previous_level", Rule::Text),
            Member::optional("change_direction", Rule::OneOf(DIRECTIONS)),
        ],
    ),
    caep(
        "https://schemas.openid.net/secevent/caep/event-type/device-compliance-change",
        "device-compliance-change",
        &[
            TIMESTAMP,
            INITIATOR,
            REASON_ADMIN,
            REASON_USER,
            Member::required("previous_status", Rule::OneOf(COMPLIANCE)),
            Member::required("current_status", Rule::OneOf(COMPLIANCE)),
        ],
    ),
    caep(
        "https://schemas.openid.net/secevent/caep/event-type/session-established",
        "session-established",
        &[
            TIMESTAMP,
            INITIATOR,
            REASON_ADMIN,
            REASON_USER,
            Member::optional("fp_ua", Rule::Text),
            Member::optional("acr", Rule::Text),
            Member::optional("amr", Rule::TextArray),
            Member::optional("ext_id", Rule::Text),
        ],
    ),
    caep(
        "https://schemas.openid.net/secevent/caep/event-type/session-presented",
        "session-presented",
        &[
            TIMESTAMP,
            INITIATOR,
            REASON_ADMIN,
            REASON_USER,
            Member::optional("fp_ua", Rule::Text),
            Member::optional("ext_id", Rule::Text),
        ],
    ),
    caep(
        "https://schemas.openid.net/secevent/caep/event-type/risk-level-change",
        "risk-level-change",
        &[
            TIMESTAMP,
            INITIATOR,
            REASON_ADMIN,
            REASON_USER,
            Member::optional("risk_reason", Rule::Text),
            Member::required("principal", Rule::Text),
            Member::required("current_level", Rule::OneOf(RISK_LEVELS)),
            Member::optional("previous_level", Rule::OneOf(RISK_LEVELS)),
        ],
    ),
];
