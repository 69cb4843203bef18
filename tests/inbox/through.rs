//! CloudEvents out of one instance into a source of another.

use serde_json::json;

use crate::cloudevents::{secret_in, soon};
use crate::harness::{Instance, eventually};
use crate::manage::Tenant;
use crate::outbox::events;
use crate::support::{ACME_AUDIENCE, PUSH, Source};

#[test]
fn an_instance_receives_the_cloudevents_of_another_in_each_mode() {
    for mode in crate::cloudevents::MODES {
        let sender = Instance::start(soon());
        let receiver = Instance::start(soon().set("SEQUENCE_GRACE_MS", 50));
        let tenant = Tenant::default(&sender);
        let request = json!({"issuer": sender.origin(), "audience": ACME_AUDIENCE, "envelope": "cloudevent"});
        let source = Source::create(&receiver, &request);
        let endpoint = receiver.url(&source.receive_path());
        let client = tenant.receiver(&[&endpoint]);
        let delivery = json!({"method": PUSH, "endpoint_url": endpoint, "authorization_header": source.authorization,
                              "cloudevents": {"mode": mode}});
        let stream = client.stream(&json!({"delivery": delivery}));
        let secret = json!({"webhook_secret": secret_in(&stream.configuration)});
        receiver.operator().patch_json(&source.path(), &secret, 200);
        let ids = ["a1", "b1", "a2", "c1", "a3", "b2"];
        tenant.publish(&events(&ids));
        let inbox = eventually("all arrive", || {
            Some(source.inbox(&receiver)).filter(|inbox| inbox.len() == ids.len())
        });
        for event in &inbox {
            assert_eq!(event["intake"]["alg"], json!("v1"), "{mode}");
            assert_eq!(
                event["iss"],
                json!(format!("{}/streams/{}", sender.origin(), stream.id))
            );
        }
        let mut txns: Vec<&str> = inbox
            .iter()
            .map(|event| event["txn"].as_str().expect("a txn"))
            .collect();
        txns.sort_unstable();
        assert_eq!(
            txns,
            ["txn-a1", "txn-a2", "txn-a3", "txn-b1", "txn-b2", "txn-c1"],
            "{mode}"
        );
        // What overtakes leaves no hole.
        assert_eq!(receiver.operator().get(&source.path(), 200)["sequence_gaps"], json!([]));
        // One that is lost on the way is noticed: the operator of the sender throws it away.
        stream.set_status("paused");
        tenant.publish(&events(&["d1"]));
        stream.set_status("disabled");
        stream.set_status("enabled");
        tenant.publish(&events(&["d2"]));
        let gaps = eventually("the hole is told of", || {
            let shown = receiver.operator().get(&source.path(), 200);
            Some(shown["sequence_gaps"].clone()).filter(|gaps| *gaps != json!([]))
        });
        assert_eq!((&gaps[0]["from"], &gaps[0]["to"]), (&json!(7), &json!(7)), "{mode}");
    }
}
