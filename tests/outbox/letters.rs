//! Dead letters as an operator finds them: what they say, in which order they are, how many and how long they are kept, and
//! how they are thrown away.

use serde_json::{Value, json};

use crate::harness::{Options, eventually};
use crate::support::{Set, assert_problem, pointer_of};

use super::{Outbox, refusal, soon};

fn jtis(letters: &[Value]) -> Vec<&str> {
    letters.iter().filter_map(|letter| letter["jti"].as_str()).collect()
}

#[test]
fn a_letter_is_read_with_the_whole_of_its_claims() {
    let mut outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1", "b1"]);
    let listed = outbox.stream.dead_letters();
    for round in 0..2 {
        for (set, listed) in dead.iter().zip(&listed) {
            let mut letter = outbox.letter(set.jti(), 200);
            let claims = letter.as_object_mut().expect("an object").remove("claims");
            assert_eq!(claims, Some(set.claims.clone()), "round {round}");
            assert_eq!(&letter, listed, "round {round}: otherwise as in the list");
        }
        outbox.instance.restart();
    }
}

#[test]
fn a_letter_that_is_not_there_is_not_found() {
    let outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1"]);
    outbox.accept(&["a2"]);
    outbox.wait_until_idle();
    let delivered = outbox.arrived().pop().expect("a push");
    for jti in [
        delivered.jti(),
        "AAAAAAAAAAAAAAAAAAAAAA",
        "x",
        "0",
        "%20",
        &dead[0].jti()[1..],
        &"a".repeat(2000),
    ] {
        let path = format!("{}/dead-letters/{jti}", outbox.stream.admin_path());
        let answer = outbox.tenant.operator().send("GET", &path, &[], b"", 404);
        assert_problem(&answer, 404);
    }
    // There, but nobody else's to read.
    let jti = dead[0].jti();
    let neighbour = outbox.receiver.poll_stream();
    let elsewhere = format!("{}/dead-letters/{jti}", neighbour.admin_path());
    outbox.tenant.operator().get(&elsewhere, 404);
    let here = format!("{}/dead-letters/{jti}", outbox.stream.admin_path());
    outbox.receiver.api.get(&here, 401);
    outbox.tenant.operator().get(&here, 200);
}

#[test]
fn letters_are_listed_in_the_order_of_their_deaths() {
    let outbox = Outbox::polled(Options::default());
    let dead = outbox.bury_polled(&["c1", "a1", "b1", "a2"]);
    let letters = outbox.stream.dead_letters();
    assert_eq!(jtis(&letters), dead.iter().map(Set::jti).collect::<Vec<_>>());
    let at: Vec<u64> = letters
        .iter()
        .map(|letter| letter["at"].as_u64().expect("an instant"))
        .collect();
    assert!(at.is_sorted(), "{at:?}");
}

#[test]
fn letters_are_thrown_away_one_by_one_or_all_together() {
    let mut outbox = Outbox::pushed(soon());
    let dead = outbox.bury(&["a1", "a2", "b1", "c1"]);
    let pushes = outbox.endpoint.requests().len();
    let one = json!({"jti": dead[1].jti()});
    assert_eq!(outbox.purge(&one), json!({"purged": 1, "remaining": 3}));
    outbox.letter(dead[1].jti(), 404);
    assert_problem(&outbox.ask("/dead-letters/purge", &one, 404), 404);
    assert_problem(&outbox.ask("/dead-letters/redrive", &one, 404), 404);
    let left = [&dead[0], &dead[2], &dead[3]].map(Set::jti);
    assert_eq!(jtis(&outbox.stream.dead_letters()), left);

    outbox.instance.restart();
    assert_eq!(jtis(&outbox.stream.dead_letters()), left);
    assert_eq!(
        outbox.purge(&json!({"all": true})),
        json!({"purged": 3, "remaining": 0})
    );
    assert_eq!(outbox.stream.dead_letters(), [] as [Value; 0]);
    assert_eq!(outbox.stream.health()["dead_letters"], json!(0));
    assert_eq!(
        outbox.purge(&json!({"all": true})),
        json!({"purged": 0, "remaining": 0})
    );
    assert_eq!(
        outbox.redrive(&json!({"all": true})),
        json!({"redriven": 0, "remaining": 0})
    );

    // Thrown away is not forgotten: its publisher may send again, and it stays as dead as it was.
    outbox.accept(&["a1"]);
    outbox.accept(&["d1"]);
    outbox.wait_until_idle();
    assert_eq!(super::ids(&outbox.arrived()[pushes..]), ["d1"]);
}

#[test]
fn a_body_that_does_not_choose_is_refused() {
    let outbox = Outbox::polled(Options::default());
    let dead = outbox.bury_polled(&["a1"]);
    let jti = dead[0].jti();
    let before = outbox.stream.dead_letters();
    for action in ["/dead-letters/redrive", "/dead-letters/purge"] {
        for (body, pointer) in [
            (json!({}), None),
            (json!({"jti": jti, "all": true}), None),
            (json!({"jtis": [jti]}), None),
            (json!({"all": false}), Some("/all")),
            (json!({"all": "true"}), Some("/all")),
            (json!({"all": 1}), Some("/all")),
            (json!({"all": null}), Some("/all")),
            (json!({"jti": 1}), Some("/jti")),
            (json!({"jti": null}), Some("/jti")),
            (json!({"jti": [jti]}), Some("/jti")),
        ] {
            let found = pointer_of(&outbox.ask(action, &body, 400));
            assert!(
                pointer.is_none_or(|pointer| pointer == found),
                "{action} {body}: {found}"
            );
        }
        for malformed in ["", "x", &jti[1..], &format!("{jti}x"), "é"] {
            let answer = outbox.ask(action, &json!({"jti": malformed}), 400);
            assert_eq!(pointer_of(&answer), "/jti", "{malformed}");
        }
        let unknown = json!({"jti": "AAAAAAAAAAAAAAAAAAAAAA"});
        assert_problem(&outbox.ask(action, &unknown, 404), 404);
    }
    assert_eq!(outbox.stream.dead_letters(), before);
    assert_eq!(outbox.queued(), 0);
}

/// POLL-2.2-4, POLL-R-3
#[test]
fn what_a_polling_receiver_reports_is_kept_in_its_own_words() {
    let outbox = Outbox::polled(Options::default());
    outbox.accept(&["a1", "a2", "a3"]);
    let errors = [
        (
            json!({"err": "invalid_key", "description": "no such key: k-17"}),
            "no such key: k-17",
        ),
        (json!({"err": "com.example.mood"}), ""),
        (
            json!({"err": "access_denied", "description": "Zugriff verweigert – später"}),
            "Zugriff verweigert – später",
        ),
    ];
    for (number, (error, description)) in errors.iter().enumerate() {
        let set = outbox.report(error);
        let letters = outbox.stream.dead_letters();
        assert_eq!(letters.len(), number + 1);
        let letter = outbox.letter(set.jti(), 200);
        assert_eq!(
            (&letter["err"], &letter["description"], &letter["claims"]),
            (&error["err"], &json!(description), &set.claims)
        );
        assert_eq!(letter["at"], letters[number]["at"]);
    }
    assert_eq!(outbox.queued(), 0);
    assert_eq!(outbox.stream.status(), json!({"status": "enabled"}));
}

#[test]
fn beyond_their_number_the_oldest_letters_go() {
    let mut outbox = Outbox::pushed(soon().set("DEAD_LETTERS", 3));
    let dead = outbox.bury(&["a1", "a2", "a3"]);
    assert_eq!(outbox.stream.dead_letters().len(), 3);
    outbox.endpoint.otherwise(refusal());
    outbox.accept(&["b1", "b2"]);
    let last = eventually("the last one is dead", || {
        let letters = outbox.stream.dead_letters();
        let newest = letters.last()?["jti"].as_str()?.to_owned();
        let pushed = outbox.arrived();
        (pushed.len() == 5 && pushed[4].jti() == newest).then_some(pushed)
    });
    let kept = [&last[2], &last[3], &last[4]].map(Set::jti);
    assert_eq!(jtis(&outbox.stream.dead_letters()), kept);
    assert_eq!(outbox.stream.health()["dead_letters"], json!(3));
    outbox.letter(dead[0].jti(), 404);
    outbox.instance.restart();
    assert_eq!(jtis(&outbox.stream.dead_letters()), kept);
}

#[test]
fn letters_go_when_they_are_too_old() {
    let outbox = Outbox::polled(Options::default().set("DEAD_LETTER_RETENTION_S", 1));
    let dead = outbox.bury_polled(&["a1", "a2"]);
    eventually("they are gone", || {
        outbox.stream.dead_letters().is_empty().then_some(())
    });
    outbox.letter(dead[0].jti(), 404);
    assert_eq!(
        outbox.redrive(&json!({"all": true})),
        json!({"redriven": 0, "remaining": 0})
    );
}
