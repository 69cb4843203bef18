//! What is wrong with a source, since when: kept until its own cause is gone. A row is written only when that changes.

use serde::Serialize;
use serde_json::Value;

use crate::delivery::meta;
use crate::delivery::sql::{Sql, SqlError};
use crate::protocol::json::json;
use crate::protocol::record::{self, Record};

/// Something an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Record)]
pub struct Problem {
    pub code: String,
    /// Unix milliseconds.
    pub since: u64,
    pub detail: String,
}

/// All that is wrong now, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Record)]
pub struct Problems {
    pub list: Vec<Problem>,
}

impl Problems {
    pub fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let text = meta::get(sql, "problems")?;
        text.map_or(Ok(Self::default()), |text| {
            record::read(&text).map_err(|error| SqlError::corrupt("problems", error))
        })
    }

    /// Notes that there is this problem (`detail`), or that it is over (`None`). Returns whether that is news.
    pub fn note(&mut self, sql: &dyn Sql, code: &str, detail: Option<&str>, now: u64) -> Result<bool, SqlError> {
        let known = self.list.iter().position(|problem| problem.code == code);
        match (known, detail) {
            (None, None) => return Ok(false),
            (Some(at), None) => {
                self.list.remove(at);
            }
            (Some(at), Some(detail)) => match self.list.get_mut(at) {
                Some(problem) if problem.detail != detail => problem.detail = detail.to_owned(),
                _ => return Ok(false),
            },
            (None, Some(detail)) => self.list.push(Problem {
                code: code.to_owned(),
                since: now,
                detail: detail.to_owned(),
            }),
        }
        meta::set(sql, "problems", &record::text(self))?;
        Ok(true)
    }

    pub fn to_json(&self) -> Value {
        json!(self.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sql::testing::TestSql;

    #[test]
    fn a_problem_stays_until_its_own_cause_is_gone_and_costs_a_row_only_when_it_changes() {
        let sql = TestSql::default();
        meta::migrate(&sql, crate::receiver::source::MIGRATIONS).unwrap();
        let mut problems = Problems::load(&sql).unwrap();
        sql.take_written_rows();
        assert!(!problems.note(&sql, "poll_failing", None, 5).unwrap());
        assert_eq!(sql.take_written_rows(), 0);
        assert!(problems.note(&sql, "poll_failing", Some("503"), 5).unwrap());
        assert!(problems.note(&sql, "setup_failed", Some("no"), 6).unwrap());
        assert_eq!(sql.take_written_rows(), 2);
        assert!(!problems.note(&sql, "poll_failing", Some("503"), 7).unwrap());
        assert_eq!(sql.take_written_rows(), 0);
        assert!(problems.note(&sql, "poll_failing", Some("timeout"), 8).unwrap());
        assert_eq!(Problems::load(&sql).unwrap(), problems);
        assert_eq!(problems.list[0].since, 5, "since it began, whatever it says now");
        assert!(problems.note(&sql, "poll_failing", None, 9).unwrap());
        assert_eq!(problems.list.len(), 1);
        assert_eq!(problems.list[0].code, "setup_failed");
    }
}
