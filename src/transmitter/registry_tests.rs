use super::super::routes::{Noted, behind, note, put_behind, route, widen};
use super::*;
use crate::delivery::meta::migrate;
use crate::delivery::sql::testing::{Fault, TestSql};
use crate::protocol::event::profile::Profile;
use crate::protocol::oauth::ScopeSet;
use crate::protocol::set::Audience;

fn database() -> TestSql {
    let sql = TestSql::default();
    migrate(&sql, MIGRATIONS).unwrap();
    sql
}

fn stream(id: &str, owner: &str) -> Child {
    Child {
        id: id.into(),
        kind: Kind::Stream,
        state: State::Pending,
        owner: owner.into(),
        label: "urn:ietf:rfc:8936".into(),
        created_at: 1,
    }
}

fn types(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_stream_is_routed_to_before_it_is_listed_and_listed_no_longer_before_it_is_unrouted() {
    let sql = database();
    begin_child(&sql, &stream("s1", "c1"), Some(&types(&["a", "b"]))).unwrap();
    assert_eq!(route(&sql, &types(&["a"])).unwrap(), ["s1"]);
    assert!(children(&sql, Kind::Stream, None).unwrap().is_empty());
    assert_eq!(unfinished(&sql).unwrap().len(), 1);
    assert!(activate(&sql, "s1").unwrap());
    assert!(!activate(&sql, "s1").unwrap(), "only a creation ends so");
    assert_eq!(children(&sql, Kind::Stream, Some("c1")).unwrap().len(), 1);
    assert!(children(&sql, Kind::Stream, Some("c2")).unwrap().is_empty());
    remove_child(&sql, "s1").unwrap();
    assert!(
        child(&sql, Kind::Stream, "s1").unwrap().is_some(),
        "one that lives is not removed"
    );
    set_state(&sql, "s1", State::Deleting).unwrap();
    assert!(children(&sql, Kind::Stream, None).unwrap().is_empty());
    assert_eq!(route(&sql, &types(&["a", "b"])).unwrap(), ["s1"]);
    remove_child(&sql, "s1").unwrap();
    assert!(route(&sql, &types(&["a", "b"])).unwrap().is_empty());
    assert!(unfinished(&sql).unwrap().is_empty());
}

#[test]
fn a_fault_while_beginning_leaves_no_half_of_it() {
    for write in 0..3 {
        for fault in [Fault::Before(write), Fault::After(write)] {
            let sql = database();
            sql.fail(fault);
            let begun = sql.atomic(|sql| begin_child(sql, &stream("s1", "c1"), Some(&types(&["a", "b"]))));
            assert!(begun.is_err());
            assert!(route(&sql, &types(&["a", "b"])).unwrap().is_empty());
            assert_eq!(count_children(&sql, Kind::Stream, "c1").unwrap(), 0);
        }
    }
}

fn noted<'a>(id: &'a str, requested: Option<&'a [String]>, terms_rev: u64, stream_rev: u64) -> Noted<'a> {
    Noted {
        stream_id: id,
        method: "push",
        requested,
        terms_rev,
        stream_rev,
    }
}

fn behind_now(sql: &TestSql) -> Vec<String> {
    let behind = behind(sql, "", 9).unwrap();
    behind.into_iter().map(|child| child.id).collect()
}

#[test]
fn a_stream_without_preference_gets_every_type_and_a_change_widens_before_it_narrows() {
    let sql = database();
    begin_child(&sql, &stream("s1", "c1"), None).unwrap();
    begin_child(&sql, &stream("s2", "c1"), Some(&types(&["a"]))).unwrap();
    for id in ["s1", "s2"] {
        assert!(activate(&sql, id).unwrap());
    }
    assert_eq!(route(&sql, &types(&["later"])).unwrap(), ["s1"]);
    assert_eq!(route(&sql, &types(&["a"])).unwrap(), ["s1", "s2"]);
    let rev = put_behind(&sql, "s1").unwrap();
    widen(&sql, "s1", Some(&types(&["b"]))).unwrap();
    assert_eq!(route(&sql, &types(&["b", "c"])).unwrap(), ["s1"]);
    assert_eq!(behind_now(&sql), ["s1"], "a crash here leaves it to be told again");
    note(&sql, &noted("s1", Some(&types(&["b"])), rev, 2)).unwrap();
    assert_eq!(route(&sql, &types(&["a", "c"])).unwrap(), ["s2"]);
    assert_eq!(route(&sql, &types(&["b"])).unwrap(), ["s1"]);
    assert!(behind_now(&sql).is_empty());
    assert_eq!(children(&sql, Kind::Stream, None).unwrap()[0].label, "push");
}

#[test]
fn an_answer_that_was_overtaken_narrows_nothing() {
    let sql = database();
    begin_child(&sql, &stream("s1", "c1"), Some(&types(&["a"]))).unwrap();
    assert!(activate(&sql, "s1").unwrap());
    // A change is under way; an answer of before it comes in late.
    let rev = put_behind(&sql, "s1").unwrap();
    widen(&sql, "s1", Some(&types(&["b"]))).unwrap();
    note(&sql, &noted("s1", Some(&types(&["a"])), rev - 1, 9)).unwrap();
    assert_eq!(route(&sql, &types(&["b"])).unwrap(), ["s1"]);
    assert_eq!(behind_now(&sql), ["s1"]);
    // Two changes: the stream made first this one, then that one, and the answers come the other way round.
    note(&sql, &noted("s1", Some(&types(&["c"])), rev, 11)).unwrap();
    note(&sql, &noted("s1", Some(&types(&["b"])), rev, 10)).unwrap();
    assert_eq!(route(&sql, &types(&["c"])).unwrap(), ["s1"]);
    assert!(route(&sql, &types(&["b"])).unwrap().is_empty());
}

#[test]
fn many_routes_are_narrowed_with_few_statements() {
    let sql = database();
    let many: Vec<String> = (0..256).map(|n| format!("urn:t:{n}")).collect();
    begin_child(&sql, &stream("s1", "c1"), Some(&many)).unwrap();
    note(&sql, &noted("s1", Some(&many[..3]), 1, 1)).unwrap();
    assert!(route(&sql, &many[3..]).unwrap().is_empty());
    assert_eq!(route(&sql, &many[..1]).unwrap(), ["s1"]);
}

#[test]
fn a_change_of_settings_concerns_all_streams_and_one_of_a_client_only_its_own() {
    let sql = database();
    for (id, owner) in [("s1", "c1"), ("s2", "c1"), ("s3", "c2")] {
        begin_child(&sql, &stream(id, owner), None).unwrap();
        assert!(activate(&sql, id).unwrap());
    }
    let told = |sql: &TestSql| {
        let behind = behind_now(sql);
        for id in &behind {
            note(sql, &noted(id, None, terms_rev(sql).unwrap(), 1)).unwrap();
        }
        behind
    };
    assert!(told(&sql).is_empty());
    let settings = TenantSettings {
        min_verification_interval: 77,
        ..TenantSettings::default()
    };
    set_settings(&sql, &settings).unwrap();
    assert_eq!(super::settings(&sql).unwrap(), settings);
    assert_eq!(told(&sql), ["s1", "s2", "s3"]);
    let metadata = acme().metadata;
    change_client(&sql, "c1", &metadata).unwrap();
    assert_eq!(told(&sql), ["s1", "s2"]);
    // A stream that was behind stays behind, whoever changes meanwhile.
    put_behind(&sql, "s3").unwrap();
    change_client(&sql, "c1", &metadata).unwrap();
    assert_eq!(told(&sql), ["s1", "s2", "s3"]);
}

#[test]
fn tenants_are_listed_page_by_page_in_the_order_of_their_names() {
    let sql = database();
    for name in ["zeta", "acme", "mid"] {
        let tenant = Child {
            kind: Kind::Tenant,
            ..stream(name, "")
        };
        begin_child(&sql, &tenant, None).unwrap();
        set_state(&sql, name, State::Active).unwrap();
    }
    let page = |after: &str| -> Vec<_> {
        let page = children_after(&sql, Kind::Tenant, after, 2).unwrap();
        page.into_iter().map(|child| child.id).collect()
    };
    assert_eq!(page(""), ["acme", "mid"]);
    assert_eq!(page("mid"), ["zeta"]);
    assert!(route(&sql, &types(&["a"])).unwrap().is_empty());
}

fn acme() -> Client {
    Client {
        client_id: "c1".into(),
        metadata: ClientMetadata {
            client_name: "Acme".into(),
            scope: ScopeSet::parse("ssf.read").unwrap(),
            audience: Some(Audience::One("a".into())),
            push_endpoints: vec![],
            handshake: crate::protocol::client::HandshakeUse::default(),
            events_allowed: None,
            profile: Profile::Ssf,
            default_subjects: None,
        },
        created_at: 3,
    }
}

#[test]
fn clients_are_kept_with_a_hash_only() {
    let sql = database();
    let acme = acme();
    add_client(&sql, &acme, &[1, 2]).unwrap();
    assert_eq!(client(&sql, "c1").unwrap(), Some((acme.clone(), vec![1, 2])));
    assert_eq!(client(&sql, "c2").unwrap(), None);
    assert_eq!(clients(&sql).unwrap(), std::slice::from_ref(&acme));
    assert!(add_client(&sql, &acme, &[3]).is_err());
    let renamed = ClientMetadata {
        client_name: "Ex-Acme".into(),
        ..acme.metadata
    };
    change_client(&sql, "c1", &renamed).unwrap();
    assert_eq!(client(&sql, "c1").unwrap().unwrap().0.metadata, renamed);
    begin_child(&sql, &stream("s1", "c1"), None).unwrap();
    assert!(activate(&sql, "s1").unwrap());
    begin_child(&sql, &stream("s2", "c1"), None).unwrap();
    begin_child(&sql, &stream("s3", "c2"), None).unwrap();
    let leaving: Vec<_> = remove_client(&sql, "c1")
        .unwrap()
        .into_iter()
        .map(|child| child.id)
        .collect();
    assert_eq!(leaving, ["s1", "s2"], "those that are just being made, too");
    assert_eq!(client(&sql, "c1").unwrap(), None);
    assert!(!activate(&sql, "s2").unwrap(), "a creation under way comes too late");
    assert_eq!(unfinished(&sql).unwrap().len(), 3, "repair would find them");
}
