//! Two Heliographs: one transmits, the other receives what it is given the issuer and a credential for.

use serde_json::json;

use super::{health, options, until_done, until_received};
use crate::harness::{Instance, Options, eventually};
use crate::support::{ACME_AUDIENCE, Acme, Source, event, publish};

#[test]
fn one_instance_receives_from_another_by_push_and_by_poll() {
    let sender = Instance::start(Options::default());
    let receiver = Instance::start(options());
    // The push endpoint is not known beforehand: whoever pushes is let in by its registration.
    for delivery in ["poll", "push"] {
        let acme = Acme::register(&sender, &[&receiver.url("/")]);
        let source = Source::create(
            &receiver,
            &json!({
                "issuer": sender.origin(), "audience": ACME_AUDIENCE, "delivery": delivery,
                "credentials": {"client_id": acme.client_id, "client_secret": acme.client_secret},
                "subjects": [{"format": "email", "email": "ana@example.com"}],
            }),
        );
        until_done(&receiver, &source);
        let events: Vec<_> = (0..30)
            .map(|n| event(&format!("{delivery}-{n}"), "ana@example.com"))
            .collect();
        publish(&sender.operator(), &events);
        let count = || super::received(&receiver, &source).len();
        eventually("all came", || (count() == 30).then_some(()));
        let jtis = super::received(&receiver, &source);
        until_received(&receiver, &source, &jtis);
        assert_eq!(health(&receiver, &source)["state"], "ok");
        receiver.operator().delete(&source.path(), 204);
        let streams = sender.operator().get("/admin/streams", 200);
        assert_eq!(
            streams["streams"].as_array().map(Vec::len),
            Some(0),
            "the stream went with its source"
        );
    }
}
