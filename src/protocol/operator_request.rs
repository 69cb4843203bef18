//! What an operator may change about a single stream. Not of any standard.

use serde_json::Value;

use super::metadata::DefaultSubjects;
use super::problem::{self, Invalid, Problem};
use super::status::{self, Status};
use super::tenant::default_subjects;

/// A change of a stream by the operator; what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRequest {
    pub status: Option<Status>,
    /// Only together with a status.
    pub reason: Option<String>,
    /// `Some(None)`: what the client's registration and the tenant say.
    pub default_subjects: Option<Option<DefaultSubjects>>,
}

impl OperatorRequest {
    /// Reads the body of a PATCH. Members that would change nothing are refused.
    pub fn parse(value: &Value) -> Result<Self, Invalid> {
        let members = problem::object(value)?;
        problem::only_members(members, &["status", "reason", "default_subjects"])?;
        let status = problem::optional(members, "status", Status::parse)?;
        if members.is_empty() {
            return Err(Invalid::here(Problem::Empty));
        }
        if status.is_none() && members.contains_key("reason") {
            return Err(Invalid::at("status", Problem::Missing));
        }
        Ok(Self {
            status,
            reason: status::reason(members)?,
            default_subjects: problem::optional(members, "default_subjects", choice)?,
        })
    }
}

fn choice(value: &Value) -> Result<Option<DefaultSubjects>, Invalid> {
    match value {
        Value::Null => Ok(None),
        value => default_subjects(value).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_operator_changes_what_is_named_and_nothing_else() {
        assert_eq!(
            OperatorRequest::parse(&json!({"status": "paused", "reason": "storage work"})),
            Ok(OperatorRequest {
                status: Some(Status::Paused),
                reason: Some("storage work".into()),
                default_subjects: None,
            })
        );
        for (given, expected) in [
            (json!("ALL"), Some(DefaultSubjects::All)),
            (json!("NONE"), Some(DefaultSubjects::None)),
            (Value::Null, None),
        ] {
            let parsed = OperatorRequest::parse(&json!({"default_subjects": given})).unwrap();
            assert_eq!(parsed.default_subjects, Some(expected));
        }
    }

    #[test]
    fn faults_are_found_and_placed() {
        for (body, pointer) in [
            (json!([]), ""),
            (json!({}), ""),
            (json!({"status": "on"}), "/status"),
            (json!({"status": null}), "/status"),
            (json!({"reason": "why"}), "/status"),
            (json!({"status": "paused", "reason": 1}), "/reason"),
            (
                json!({"status": "paused", "reason": "x".repeat(status::MAX_REASON + 1)}),
                "/reason",
            ),
            (json!({"default_subjects": "all"}), "/default_subjects"),
            (json!({"description": "x"}), "/description"),
        ] {
            assert_eq!(OperatorRequest::parse(&body).unwrap_err().pointer, pointer, "{body}");
        }
    }
}
