use serde_json::json;

use super::*;
use crate::delivery::meta::migrate;
use crate::delivery::sql::testing::TestSql;

fn target(members: Value) -> Target {
    let mut target = Target::default();
    for (name, value) in members.as_object().unwrap() {
        target.set(name, Some(value)).unwrap();
    }
    target
}

fn grant(origin: &str, state: GrantState, at: u64) -> Grant {
    Grant {
        origin: origin.into(),
        state,
        requested_rate: Some(Rate::PerMinute(600)),
        allowed_rate: Some(Rate::PerMinute(90)),
        approved_rate: None,
        asked_at: at,
        decided_at: None,
        via: None,
        callback: None,
        exchange: Value::Null,
    }
}

#[test]
fn members_are_kept_in_their_compared_form() {
    let target = target(json!({
        "allowed_origins": ["TX.Quarry.example.", "*"],
        "allowed_rate": 60,
        "handshake": "callback",
        "callback_hosts": ["TX.quarry.example", "*.hooks.example:553", "a.example:443"],
        "callback_method": "GET",
    }));
    let mut shown = json!({});
    target.show(&mut shown);
    assert_eq!(
        shown,
        json!({
            "allowed_origins": ["tx.quarry.example", "*"],
            "allowed_rate": 60,
            "handshake": "callback",
            "callback_hosts": ["tx.quarry.example", "*.hooks.example:553", "a.example"],
            "callback_method": "GET",
        })
    );
    let mut cleared = target;
    for name in MEMBERS {
        cleared.set(name, None).unwrap();
    }
    assert_eq!(cleared, Target::default());
    for (name, value) in [
        ("allowed_origins", json!([])),
        ("allowed_origins", json!("tx.example")),
        ("allowed_origins", json!(["https://tx.example"])),
        ("allowed_origins", json!(["tx.example:443"])),
        ("allowed_origins", json!(["*.tx.example"])),
        ("allowed_origins", json!(["tx.example", "TX.example"])),
        ("allowed_origins", json!(vec!["a"; 21])),
        ("allowed_rate", json!(0)),
        ("allowed_rate", json!("*")),
        ("handshake", json!("never")),
        ("callback_hosts", json!(["*"])),
        ("callback_hosts", json!(["tx.example:0x1"])),
        ("callback_hosts", json!(["tx.example:70000"])),
        ("callback_hosts", json!(["tx.example:22"])),
        ("callback_hosts", json!(["tx.example:0"])),
        ("callback_hosts", json!(["https://tx.example"])),
        ("callback_method", json!("PUT")),
        ("nonsense", json!(1)),
    ] {
        assert!(Target::default().set(name, Some(&value)).is_err(), "{name} {value}");
    }
}

/// WH-4.2-10, WH-4.2-16, WH-4.2-17
#[test]
fn who_asks_is_judged_by_the_list_and_what_was_decided() {
    let (ours, theirs) = ("tx.quarry.example", "tx.quarry.example.attacker.example");
    let asked = Some(Rate::PerMinute(600));
    let answering = target(json!({"allowed_origins": [ours], "allowed_rate": 60}));
    assert_eq!(
        answering.judge(ours, asked, None),
        Judgement::Granted(Rate::PerMinute(60))
    );
    assert_eq!(
        answering.judge(ours, Some(Rate::PerMinute(7)), None),
        Judgement::Granted(Rate::PerMinute(7))
    );
    assert_eq!(
        answering.judge(ours, None, None),
        Judgement::Granted(Rate::PerMinute(60))
    );
    assert_eq!(answering.judge(theirs, asked, None), Judgement::Refused);
    let rejected = grant(ours, GrantState::Rejected, 1);
    assert_eq!(answering.judge(ours, asked, Some(&rejected)), Judgement::Refused);
    let anybody = target(json!({"allowed_origins": ["*"]}));
    assert_eq!(anybody.judge(theirs, None, None), Judgement::Granted(Rate::Unlimited));
    assert_eq!(
        anybody.judge(theirs, asked, None),
        Judgement::Granted(Rate::PerMinute(600))
    );
    assert_eq!(Target::default().judge(ours, asked, None), Judgement::Refused);
    let later = target(json!({"allowed_origins": [ours], "handshake": "callback"}));
    assert_eq!(later.judge(ours, asked, None), Judgement::CalledBack);
    assert_eq!(later.judge(theirs, asked, None), Judgement::Refused);
    let by_hand = target(json!({"handshake": "operator"}));
    assert_eq!(by_hand.judge(theirs, asked, None), Judgement::Later);
    let mut granted = grant(theirs, GrantState::Granted, 1);
    (granted.via, granted.approved_rate) = (Some(Via::Operator), Some(Rate::PerMinute(90)));
    granted.allowed_rate = Some(Rate::PerMinute(9));
    assert!(by_hand.lets_in(&granted) && !Target::default().lets_in(&grant(theirs, GrantState::Granted, 1)));
    assert_eq!(
        by_hand.judge(theirs, asked, Some(&granted)),
        Judgement::Granted(Rate::PerMinute(90))
    );
    // Whatever others are answered, that stays his word; and who was let in by the rules keeps to theirs.
    for rules in [&answering, &later, &Target::default()] {
        assert!(rules.lets_in(&granted));
        assert_eq!(
            rules.judge(theirs, asked, Some(&granted)),
            Judgement::Granted(Rate::PerMinute(90))
        );
    }
    let limited = target(json!({"handshake": "operator", "allowed_rate": 60}));
    let by_rule = grant(ours, GrantState::Granted, 1);
    assert_eq!(
        limited.judge(ours, None, Some(&by_rule)),
        Judgement::Granted(Rate::PerMinute(60))
    );
    let rejected = grant(theirs, GrantState::Rejected, 1);
    assert_eq!(by_hand.judge(theirs, asked, Some(&rejected)), Judgement::Refused);
    assert!(by_hand.enforces() && answering.enforces() && !Target::default().enforces());
}

/// WH-4.1-28, WH-4.1-31
#[test]
fn only_listed_hosts_are_called_back() {
    let target = target(json!({"callback_hosts": ["tx.example", "*.hooks.example:553"]}));
    for (host, port, may) in [
        ("tx.example", 443, true),
        ("tx.example", 8443, false),
        ("a.tx.example", 443, false),
        ("rp-1.hooks.example", 553, true),
        ("a.b.hooks.example", 553, true),
        ("rp-1.hooks.example", 443, false),
        ("hooks.example", 553, false),
        ("evilhooks.example", 553, false),
        (".hooks.example", 553, false),
        ("other.example", 443, false),
    ] {
        assert_eq!(target.may_call(host, port), may, "{host}:{port}");
    }
}

/// WH-4.1-28: what was decided or changed since it asked counts.
#[test]
fn a_callback_that_waits_is_called_only_while_it_would_be_now() {
    let ours = "tx.example";
    let rules = json!({"allowed_origins": [ours], "handshake": "callback", "callback_hosts": ["cb.example", "cb.example:8443"]});
    let calling = target(rules.clone());
    let waiting = |host: &str| {
        let mut asked = grant(ours, GrantState::Pending, 1);
        asked.via = None;
        asked.callback = Some(callback(host));
        asked
    };
    assert!(calling.calls_back(&waiting("cb.example")) && calling.calls_back(&waiting("cb.example:8443")));
    assert!(!calling.calls_back(&waiting("cb.example:553")) && !calling.calls_back(&waiting("other.example")));
    for (name, value) in [
        ("allowed_origins", json!(["other.example"])),
        ("callback_hosts", json!(["other.example"])),
        ("handshake", json!("operator")),
        ("handshake", json!("answer")),
    ] {
        let mut changed = rules.clone();
        changed[name] = value;
        assert!(!target(changed.clone()).calls_back(&waiting("cb.example")), "{changed}");
        // The operator's word does not depend on the rules.
        let mut approved = waiting("other.example");
        approved.decide(GrantState::Granted, None, Via::Operator, 2);
        assert!(target(changed).calls_back(&approved));
        approved.decide(GrantState::Rejected, None, Via::Operator, 3);
        assert!(!calling.calls_back(&approved));
    }
}

fn callback(host: &str) -> Callback {
    Callback {
        host: host.into(),
        sealed: "sealed".into(),
        state: CallbackState::Waiting,
        attempts: 0,
        next_at: Some(9),
        detail: None,
    }
}

/// With `*` whoever asks is granted: that must not undo what the operator decided.
#[test]
fn nobody_pushes_out_what_the_operator_decided() {
    let sql = TestSql::default();
    migrate(&sql, &[SCHEMA]).unwrap();
    let mut rejected = grant("rejected.example", GrantState::Rejected, 0);
    rejected.via = Some(Via::Operator);
    save(&sql, &rejected).unwrap();
    for n in 0..250 {
        let mut stranger = grant(&format!("o{n}.example"), GrantState::Granted, n + 1);
        stranger.via = Some(Via::Options);
        save(&sql, &stranger).unwrap();
    }
    assert_eq!(all(&sql).unwrap().len(), 201);
    let found = find(&sql, "rejected.example").unwrap().unwrap();
    assert_eq!(found.state, GrantState::Rejected);
}

#[test]
fn too_many_who_wait_make_room_and_never_for_those_who_were_decided_about() {
    let sql = TestSql::default();
    migrate(&sql, &[SCHEMA]).unwrap();
    assert_eq!(any_was_granted(&sql), Ok(false));
    save(&sql, &grant("old.example", GrantState::Granted, 0)).unwrap();
    assert_eq!(any_was_granted(&sql), Ok(true));
    save_paid_until(&sql, "old.example", 7).unwrap();
    assert_eq!((paid_until(&sql, "old.example"), paid_until(&sql, "o")), (Ok(7), Ok(0)));
    for n in 0..u64::from(MAX_WAITING) + 5 {
        save(&sql, &grant(&format!("o{n}.example"), GrantState::Pending, n + 1)).unwrap();
    }
    let kept = all(&sql).unwrap();
    assert_eq!(kept.len() as u32, MAX_WAITING + 1);
    assert_eq!(kept[0].origin, "o24.example");
    assert_eq!(kept.last().unwrap().origin, "old.example");
    assert_eq!(find(&sql, "o4.example").unwrap(), None);
    let mut decided = find(&sql, "o5.example").unwrap().unwrap();
    decided.callback = Some(callback("tx.example"));
    assert_eq!(callback_due(&[decided.clone()]), Some(9));
    decided.decide(GrantState::Rejected, None, Via::Operator, 50);
    save(&sql, &decided).unwrap();
    assert_eq!(callback_due(&all(&sql).unwrap()), None);
    let shown = find(&sql, "o5.example").unwrap().unwrap().to_json();
    assert_eq!(
        (&shown["state"], &shown["via"]),
        (&json!("rejected"), &json!("operator"))
    );
    assert!(!shown.to_string().contains("sealed"));
}

#[test]
fn the_operator_approves_rejects_or_revokes() {
    let approved = Decision::parse(&json!({"origin": "TX.example", "action": "approve", "allowed_rate": 5})).unwrap();
    assert_eq!(approved.origin, "tx.example");
    assert_eq!(
        approved.approved,
        Some(Approval {
            allowed_rate: Some(Rate::PerMinute(5))
        })
    );
    for action in ["reject", "revoke"] {
        let refused = Decision::parse(&json!({"origin": "tx.example", "action": action})).unwrap();
        assert_eq!(refused.approved, None);
    }
    for (body, pointer) in [
        (json!({}), "/origin"),
        (json!({"origin": "a b", "action": "approve"}), "/origin"),
        (json!({"origin": "tx.example"}), "/action"),
        (json!({"origin": "tx.example", "action": "allow"}), "/action"),
        (
            json!({"origin": "tx.example", "action": "reject", "allowed_rate": 5}),
            "/allowed_rate",
        ),
        (
            json!({"origin": "tx.example", "action": "approve", "allowed_rate": 0}),
            "/allowed_rate",
        ),
        (json!({"origin": "tx.example", "action": "approve", "why": 0}), "/why"),
    ] {
        assert_eq!(Decision::parse(&body).unwrap_err().pointer, pointer, "{body}");
    }
}
