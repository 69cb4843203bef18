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
    assert_eq!(
        later.judge(ours, asked, None),
        Judgement::CalledBack(Rate::PerMinute(600))
    );
    assert_eq!(later.judge(theirs, asked, None), Judgement::Refused);
    let by_hand = target(json!({"handshake": "operator"}));
    assert_eq!(by_hand.judge(theirs, asked, None), Judgement::Later);
    let granted = grant(theirs, GrantState::Granted, 1);
    assert_eq!(
        by_hand.judge(theirs, asked, Some(&granted)),
        Judgement::Granted(Rate::PerMinute(90))
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

#[test]
fn too_many_who_wait_make_room_and_never_for_those_who_were_decided_about() {
    let sql = TestSql::default();
    migrate(&sql, &[SCHEMA]).unwrap();
    save(&sql, &grant("old.example", GrantState::Granted, 0)).unwrap();
    for n in 0..u64::from(MAX_WAITING) + 5 {
        save(&sql, &grant(&format!("o{n}.example"), GrantState::Pending, n + 1)).unwrap();
    }
    let kept = all(&sql).unwrap();
    assert_eq!(kept.len() as u32, MAX_WAITING + 1);
    assert_eq!(kept[0].origin, "o24.example");
    assert_eq!(kept.last().unwrap().origin, "old.example");
    assert_eq!(find(&sql, "o4.example").unwrap(), None);
    let mut decided = find(&sql, "o5.example").unwrap().unwrap();
    decided.callback = Some(Callback {
        host: "tx.example".into(),
        sealed: "sealed".into(),
        state: CallbackState::Waiting,
        attempts: 0,
        next_at: Some(9),
        detail: None,
    });
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
