//! The list of tenants.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Instance, Options};
use crate::support::Tenant;

/// All pages of a list, each of at most `limit` tenants.
#[track_caller]
fn pages(instance: &Instance, limit: usize) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut after = String::new();
    loop {
        let page = instance
            .operator()
            .get(&format!("/admin/tenants?limit={limit}&after={after}"), 200);
        pages.push(page["tenants"].as_array().expect("an array").clone());
        match page.get("cursor") {
            Some(cursor) => after = cursor.as_str().expect("a cursor is a string").to_owned(),
            None => return pages,
        }
        assert!(pages.len() < 20, "the list has an end: {pages:?}");
    }
}

fn names(tenants: &[Value]) -> Vec<&str> {
    tenants
        .iter()
        .map(|tenant| tenant["tenant"].as_str().expect("a name"))
        .collect()
}

#[test]
fn tenants_are_listed_in_order_of_their_names_and_default_first() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let alone = operator.get("/admin/tenants", 200);
    assert_eq!(names(alone["tenants"].as_array().expect("an array")), ["default"]);
    // Before and after "default" in the alphabet.
    for name in ["zeta", "acme", "a-1", "default-2", "beta"] {
        Tenant::create(&instance, name, &json!({"default_subjects": "NONE"}));
    }
    let listed = operator.get("/admin/tenants", 200);
    let tenants = listed["tenants"].as_array().expect("an array");
    assert_eq!(names(tenants), ["default", "a-1", "acme", "beta", "default-2", "zeta"]);
    assert_eq!(listed.get("cursor"), None, "there is no more");
    for tenant in tenants {
        let name = tenant["tenant"].as_str().expect("a name");
        let document = operator.get(&format!("/admin/tenants/{name}"), 200);
        let expected = json!({"tenant": name, "issuer": document["issuer"], "created_at": document["created_at"]});
        assert_eq!(tenant, &expected, "an entry, not the whole document");
    }
}

#[test]
fn a_list_read_page_by_page_is_the_whole_list() {
    let instance = Instance::start(Options::default());
    for name in ["zeta", "acme", "beta", "default-2"] {
        Tenant::create(&instance, name, &json!({}));
    }
    for limit in [2, 3, 4, 5, 6, 200] {
        let pages = pages(&instance, limit);
        assert!(pages.iter().all(|page| page.len() <= limit), "{limit}: {pages:?}");
        assert_eq!(
            names(&pages.concat()),
            ["default", "acme", "beta", "default-2", "zeta"],
            "limit {limit}"
        );
    }
}

#[test]
fn a_page_of_one_loses_nobody() {
    let instance = Instance::start(Options::default());
    for name in ["acme", "zeta"] {
        Tenant::create(&instance, name, &json!({}));
    }
    let one_by_one = pages(&instance, 1);
    assert_eq!(names(&one_by_one.concat()), ["default", "acme", "zeta"]);
}

#[test]
fn what_was_deleted_is_not_listed_and_a_cursor_may_outlive_its_tenant() {
    let instance = Instance::start(Options::default());
    let operator = instance.operator();
    let [_, beta, _] = ["acme", "beta", "gamma"].map(|name| Tenant::create(&instance, name, &json!({})));
    operator.delete(&beta.admin_path(), 204);
    let listed = operator.get("/admin/tenants", 200);
    let tenants = listed["tenants"].as_array().expect("an array");
    assert_eq!(names(tenants), ["default", "acme", "gamma"]);
    let rest = operator.get("/admin/tenants?after=beta", 200);
    assert_eq!(names(rest["tenants"].as_array().expect("an array")), ["gamma"]);
    let created: BTreeSet<u64> = tenants
        .iter()
        .map(|tenant| tenant["created_at"].as_u64().expect("an instant"))
        .collect();
    assert!(created.iter().all(|at| *at > 1_700_000_000_000), "{created:?}");
}
