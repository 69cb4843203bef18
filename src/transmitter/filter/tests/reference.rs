//! The filter against the rules of SSF 1.0 section 8.1.3 as they are written: one subject after the other.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

/// A few values under a few names: draws by xorshift, so that every run is the same.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn value(&mut self) -> Value {
        match self.below(8) {
            0 => json!({"format": "phone", "phone_number": "+1"}),
            1 => json!({"format": "phone_number", "phone_number": "+1"}),
            2 => json!({"format": "aliases", "identifiers": [simple("1"), simple("2")]}),
            3 => json!({"format": "aliases", "identifiers": [simple("2"), simple("1")]}),
            n => simple(&(n % 2).to_string()),
        }
    }

    /// A simple subject, or one of up to `names` members, few more often than many.
    fn subject(&mut self, names: u64) -> Value {
        if self.below(4) == 0 {
            return self.value();
        }
        let mut subject = json!({"format": "complex"});
        for _ in 0..=self.below(names).min(self.below(names)) {
            let name = format!("n{}", self.below(names));
            subject[name] = self.value();
        }
        subject
    }
}

/// What a filter has to be, subject by subject. Keys are identities.
#[derive(Default)]
struct Reference {
    added: BTreeMap<String, (Value, bool)>,
    leaving: Vec<(Value, u64)>,
    removed: BTreeMap<String, (Value, u64)>,
}

impl Reference {
    fn add(&mut self, subject: &Value, verified: bool, rules: &Rules, now: u64) -> bool {
        let key = identity(subject);
        let mut changed = self.removed.remove(&key).is_some();
        if rules.default_subjects == DefaultSubjects::None {
            self.leaving
                .retain(|(other, until)| identity(other) != key || *until <= now);
            let before = self.added.insert(key, (subject.clone(), verified));
            changed |= before.is_none_or(|(_, before)| before != verified);
        }
        changed
    }

    fn remove(&mut self, subject: &Value, rules: &Rules, now: u64) -> bool {
        let key = identity(subject);
        let was_added = self.added.remove(&key).is_some();
        if was_added && rules.grace_ms > 0 {
            self.leaving.push((subject.clone(), end_of_grace(rules, now)));
        }
        if rules.default_subjects == DefaultSubjects::None {
            return was_added;
        }
        let new = !self.removed.contains_key(&key);
        let since = now + rules.grace_ms;
        self.removed.entry(key).or_insert((subject.clone(), since));
        was_added || new
    }

    fn check(&self, event: &Value, rules: &Rules, now: u64, judged: &Judgement) {
        let names = |subject: &Value| -> Vec<String> {
            let members = members(subject).unwrap_or_default();
            members.into_iter().map(|(name, _)| name.to_owned()).collect()
        };
        let shared = |subject: &Value| -> Vec<String> {
            let others = names(event);
            names(subject)
                .into_iter()
                .filter(|name| others.contains(name))
                .collect()
        };
        let matching = |subject: &Value| matches(subject, event, rules.require_shared_member);
        let added: Vec<_> = self.added.values().filter(|(subject, _)| matching(subject)).collect();
        let leaving = self
            .leaving
            .iter()
            .filter(|(subject, until)| *until > now && matching(subject));
        let covering: Vec<_> = self
            .removed
            .values()
            .filter(|(subject, _)| covers(subject, event))
            .collect();
        let until = match rules.default_subjects {
            DefaultSubjects::None => leaving.map(|(_, until)| *until).max(),
            DefaultSubjects::All => covering.iter().map(|(_, since)| *since).min(),
        };
        let right = match (judged, rules.default_subjects) {
            (
                Judgement::Added {
                    members,
                    verified,
                    shared: found,
                },
                DefaultSubjects::None,
            ) => {
                let most = added.iter().map(|(subject, _)| shared(subject).len()).max();
                most == Some(found.len())
                    && added.iter().any(|(subject, is_verified)| {
                        (&names(subject), &shared(subject), is_verified) == (members, found, verified)
                    })
            }
            (Judgement::InGrace { until: found }, DefaultSubjects::None) => added.is_empty() && until == Some(*found),
            (Judgement::NotAdded, DefaultSubjects::None) => added.is_empty() && until.is_none(),
            (Judgement::Removed { members }, DefaultSubjects::All) => covering
                .iter()
                .any(|(subject, since)| *since <= now && names(subject) == *members),
            (Judgement::InGrace { until: found }, DefaultSubjects::All) => until == Some(*found) && *found > now,
            (Judgement::ByDefault, DefaultSubjects::All) => covering.is_empty(),
            _ => false,
        };
        assert!(right, "{event} {rules:?} at {now}: {judged:?}");
    }
}

#[test]
fn the_index_judges_as_the_rules_do_subject_by_subject() {
    let mut draws = Draws(0x9E37_79B9_7F4A_7C15);
    let mut seen = BTreeMap::new();
    for run in 0..120 {
        let (sql, mut filter) = database();
        let mut reference = Reference::default();
        let mut rules = if run % 2 == 0 { NONE } else { ALL };
        let mut now = NOW;
        let names = 2 + draws.below(5);
        for _ in 0..60 {
            let subject = draws.subject(names);
            rules.require_shared_member = draws.below(2) == 0;
            match draws.below(20) {
                0 => rules.grace_ms = [0, 50, 800][draws.below(3) as usize],
                1 => now += draws.below(400),
                2 => assert_eq!(filter.prune(&sql, now).unwrap(), filter.next_due()),
                3 => filter = Filter::load(&sql).unwrap(),
                4 if draws.below(4) == 0 => {
                    rules.default_subjects = match rules.default_subjects {
                        DefaultSubjects::All => DefaultSubjects::None,
                        DefaultSubjects::None => DefaultSubjects::All,
                    }
                }
                5..12 => {
                    let verified = draws.below(4) > 0;
                    let change = filter.add(&sql, &subject, verified, &rules, now).unwrap();
                    let changed = reference.add(&subject, verified, &rules, now);
                    assert_eq!(change == Change::Made, changed, "add {subject}");
                }
                12..17 => {
                    let change = filter.remove(&sql, &subject, &rules, now).unwrap();
                    let changed = reference.remove(&subject, &rules, now);
                    assert_eq!(change == Change::Made, changed, "remove {subject}");
                }
                _ => {}
            }
            for _ in 0..2 {
                let event = draws.subject(names + 1);
                let judged = filter.judge(&sql, &event, &rules, now).unwrap();
                reference.check(&event, &rules, now, &judged);
                *seen
                    .entry(format!("{judged:?}").split([' ', '{']).next().unwrap().to_owned())
                    .or_insert(0) += 1;
            }
        }
        assert_eq!(Filter::load(&sql).unwrap(), filter);
        let both = [Rules { grace_ms: 0, ..NONE }, Rules { grace_ms: 0, ..ALL }];
        let added = reference.added.values().map(|(subject, _)| subject);
        for subject in added.chain(reference.removed.values().map(|(subject, _)| subject)) {
            filter.remove(&sql, subject, &both[0], now).unwrap();
            filter.add(&sql, subject, true, &both[1], now).unwrap();
        }
        filter.prune(&sql, now + HOUR).unwrap();
        assert_eq!(rows_in(&sql), 0, "nothing is left behind");
    }
    // Every answer was given often enough to mean something.
    assert!(seen.len() == 5 && seen.values().all(|count| *count > 100), "{seen:?}");
}
