//! The event types of RISC 1.0 and their members (section 2). Most have none.

use super::rule::{Member, Rule};
use super::{EventType, Family, SubjectRule};

const fn risc(uri: &'static str, name: &'static str, members: &'static [Member]) -> EventType {
    EventType {
        uri,
        name,
        family: Family::Risc,
        members,
        subject: SubjectRule::Any,
    }
}

/// A type whose subject is an e-mail address or phone number.
const fn about_identifier(uri: &'static str, name: &'static str, members: &'static [Member]) -> EventType {
    EventType {
        uri,
        name,
        family: Family::Risc,
        members,
        subject: SubjectRule::Identifier,
    }
}

pub(super) const TYPES: [EventType; 14] = [
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/account-credential-change-required",
        "account-credential-change-required",
        &[],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/account-purged",
        "account-purged",
        &[],
    ),
    // RISC-2.3-2: the reasons are an open set.
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
        "account-disabled",
        &[Member::optional("reason", Rule::Text)],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/account-enabled",
        "account-enabled",
        &[],
    ),
    // RISC-2.5-5: a hyphen in the member's name.
    about_identifier(
        "https://schemas.openid.net/secevent/risc/event-type/identifier-changed",
        "identifier-changed",
        &[Member::optional("new-value", Rule::Text)],
    ),
    about_identifier(
        "https://schemas.openid.net/secevent/risc/event-type/identifier-recycled",
        "identifier-recycled",
        &[],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/credential-compromise",
        "credential-compromise",
        &[
            Member::required("credential_type", Rule::Text),
            Member::optional("event_timestamp", Rule::Seconds),
            // RISC-2.7-6: of no stated type; CAEP's form is what receivers expect.
            Member::optional("reason_admin", Rule::LanguageMap),
            Member::optional("reason_user", Rule::LanguageMap),
        ],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/opt-in",
        "opt-in",
        &[],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/opt-out-initiated",
        "opt-out-initiated",
        &[],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/opt-out-cancelled",
        "opt-out-cancelled",
        &[],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/opt-out-effective",
        "opt-out-effective",
        &[],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/recovery-activated",
        "recovery-activated",
        &[],
    ),
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/recovery-information-changed",
        "recovery-information-changed",
        &[],
    ),
    // RISC-2.11-2: deprecated in favour of CAEP's session-revoked; older receivers still wait for it.
    risc(
        "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked",
        "sessions-revoked",
        &[],
    ),
];
