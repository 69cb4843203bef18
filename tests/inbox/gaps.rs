//! Holes in the order of CloudEvents.

use serde_json::{Value, json};

use crate::cloudevents::{cloud_event, with};
use crate::forward::problem;
use crate::harness::{Options, eventually};

use super::cloudevents::{ISSUER, Line};

fn line() -> Line {
    Line::start(Options::default().set("SEQUENCE_GRACE_MS", 50), &json!({}))
}

impl Line {
    /// Receives an event with this number in the order of its source.
    #[track_caller]
    fn number(&self, number: u64) {
        self.number_of(ISSUER, number);
    }

    #[track_caller]
    fn number_of(&self, source: &str, number: u64) {
        let event = cloud_event(&format!("evt-{number}"), "ana@example.com");
        let event = with(&event, "sequence", format!("{number:020}"));
        self.structured(&with(&event, "source", source), 202);
    }

    #[track_caller]
    fn holes(&self) -> Vec<(u64, u64)> {
        let shown = self.show();
        let number = |hole: &Value, name: &str| hole[name].as_u64().expect("a number");
        let holes = shown["sequence_gaps"].as_array().expect("an array");
        holes
            .iter()
            .map(|hole| (number(hole, "from"), number(hole, "to")))
            .collect()
    }

    #[track_caller]
    fn wait_for_holes(&self, expected: &[(u64, u64)]) {
        eventually("the holes are these", || (self.holes() == expected).then_some(()));
    }

    #[track_caller]
    fn gap(&self) -> Option<Value> {
        problem(&self.show(), "sequence_gap")
    }
}

/// CE-1-10
#[test]
fn a_hole_is_told_of_and_ends_when_what_was_missing_comes() {
    let line = line();
    for number in [5, 6, 9] {
        line.number(number);
    }
    line.wait_for_holes(&[(7, 8)]);
    let gap = line.gap().expect("a problem");
    let detail = gap["detail"].as_str().expect("a text");
    assert!(detail.contains("7 to 8") && detail.contains(ISSUER), "{detail}");
    let source = &line.show()["sequence_gaps"][0]["source"];
    assert_eq!(source, &json!(ISSUER));
    assert_eq!(line.show()["health"]["last_gap"], line.show()["sequence_gaps"][0]);
    line.number(8);
    assert_eq!(line.holes(), [(7, 7)]);
    // Another source counts for itself.
    line.number_of(&format!("{ISSUER}/streams/2"), 100);
    line.number(7);
    assert_eq!((line.holes(), line.gap()), (vec![], None));
}

#[test]
fn the_operator_acknowledges_and_a_restart_forgets_no_hole() {
    let mut line = line();
    line.number(1);
    line.number(3);
    // Before or after it is told of.
    line.instance.restart();
    line.number(6);
    line.wait_for_holes(&[(2, 2), (4, 5)]);
    line.instance.restart();
    assert_eq!(line.holes(), [(2, 2), (4, 5)]);
    let patch = json!({"sequence_gaps": null});
    let shown = line.instance.operator().patch_json(&line.source.path(), &patch, 200);
    assert_eq!(shown["sequence_gaps"], json!([]));
    assert_eq!(problem(&shown, "sequence_gap"), None);
    line.instance.restart();
    line.number(7);
    line.number(9);
    line.wait_for_holes(&[(8, 8)]);
    assert_eq!(line.show()["health"]["last_gap"]["from"], json!(8));
    // Where nothing counts any more nothing is missing.
    let patch = json!({"envelope": "set"});
    let shown = line.instance.operator().patch_json(&line.source.path(), &patch, 200);
    assert_eq!(
        (problem(&shown, "sequence_gap"), &shown["health"]["last_gap"]),
        (None, &json!(null))
    );
}
