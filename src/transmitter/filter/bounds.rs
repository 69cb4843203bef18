//! What the filter of one stream takes at most: its shapes are held in memory.

use serde_json::Value;

use crate::protocol::list::insert_sorted;

use super::key::Parts;
use super::{Filter, FilterError, MAX_MEMBERS, MAX_NAME, MAX_SHAPES};

impl Filter {
    /// Whether all of these subjects can be added, or removed, one after the other; else the index of the first that cannot,
    /// and why. So that many of them can be taken whole or not at all.
    pub fn room_for(&self, removed: bool, subjects: &[Value]) -> Result<(), (usize, FilterError)> {
        let mut sets = self.name_sets();
        for (at, subject) in subjects.iter().enumerate() {
            let names = Parts::of(subject).owned_names();
            take_in(&mut sets, removed, &names).map_err(|error| (at, error))?;
        }
        Ok(())
    }
}

/// Adds a set of names, if it and the number of sets are within the bounds.
pub(super) fn take_in(sets: &mut Vec<(bool, Vec<String>)>, removed: bool, names: &[String]) -> Result<(), FilterError> {
    if names.len() > MAX_MEMBERS {
        return Err(FilterError::TooManyMembers);
    }
    if names.iter().any(|name| name.len() > MAX_NAME) {
        return Err(FilterError::NameTooLong);
    }
    let set = (removed, names.to_vec());
    let is_new = sets.binary_search(&set).is_err();
    if is_new && sets.len() >= MAX_SHAPES {
        return Err(FilterError::TooManyShapes);
    }
    insert_sorted(sets, set);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::meta::migrate;
    use crate::delivery::sql::testing::TestSql;
    use serde_json::json;

    #[test]
    fn the_first_subject_that_does_not_fit_is_named() {
        let sql = TestSql::default();
        migrate(&sql, &[super::super::SCHEMA]).unwrap();
        let filter = Filter::load(&sql).unwrap();
        let member = json!({"format": "opaque", "id": "x"});
        let of_shape = |name: &str| json!({"format": "complex", name: member});
        let wide: Value = (0..=MAX_MEMBERS).map(|n| (n.to_string(), member.clone())).collect();
        let mut wide = wide;
        wide["format"] = json!("complex");
        assert_eq!(filter.room_for(false, &[member.clone(), of_shape("a")]), Ok(()));
        let refused = filter.room_for(false, &[member.clone(), wide]);
        assert_eq!(refused, Err((1, FilterError::TooManyMembers)));
        let refused = filter.room_for(true, &[of_shape(&"n".repeat(MAX_NAME + 1))]);
        assert_eq!(refused, Err((0, FilterError::NameTooLong)));
        let mut many: Vec<Value> = (0..MAX_SHAPES).map(|n| of_shape(&n.to_string())).collect();
        assert_eq!(filter.room_for(false, &many), Ok(()));
        many.push(of_shape("one more"));
        assert_eq!(
            filter.room_for(false, &many),
            Err((MAX_SHAPES, FilterError::TooManyShapes))
        );
    }
}
