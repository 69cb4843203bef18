//! What one run begins with: a policy, a stream, and the events that may be published to it.

use std::sync::OnceLock;

use serde_json::json;

use super::draw::Draw;
use crate::delivery::bounds::Bounds;
use crate::delivery::chunk::{HEAD, Jti, Lane};
use crate::delivery::courier::Policy;
use crate::delivery::retry::RetryPolicy;
use crate::delivery::sql::testing::TestSql;
use crate::protocol::event::publish::NewEvent;
use crate::protocol::stream::{Configuration, Delivery};
use crate::transmitter::filter::Filter;
use crate::transmitter::grant;
use crate::transmitter::live::Rules;
use crate::transmitter::stream::{self, Published, Stream};
use crate::transmitter::terms::Terms;

/// When every run begins: a moment of the year 2026, in Unix milliseconds.
pub const BEGIN: u64 = 1_795_262_400_000;

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// Subjects, and events about each of them, that runs choose from.
pub const SUBJECTS: usize = 7;
pub const EVENTS_EACH: usize = 16;

/// An event that may be published, and what is known of it beforehand.
pub struct Source {
    pub published: Published,
    pub jti: Jti,
    pub lane: Lane,
    /// Bytes that it takes in the outbox.
    pub size: u64,
}

/// What a run begins with.
pub struct Plan {
    pub rules: Rules,
    pub polls: bool,
    /// Whether the receiver changes between push and poll.
    pub switches: bool,
    pub subjects: u64,
    pub steps: u64,
    pub linger_ms: u64,
    pub run_ms: u64,
    pub timeout_ms: u64,
    /// Longest time that signing takes.
    pub sign_ms: u64,
    /// In how many of a thousand turns storage fails.
    pub faults: u64,
    /// How often the object dies, among a hundred steps.
    pub crashes: u64,
}

impl Plan {
    pub fn draw(draw: &mut Draw) -> Self {
        let bounded = draw.percent(30);
        let bounds = Bounds {
            events: if bounded { draw.between(3, 16) } else { 100_000 },
            bytes: if bounded && draw.percent(50) {
                draw.between(2_000, 8_000)
            } else {
                200_000_000
            },
            age_ms: if bounded && draw.percent(40) {
                draw.between(20_000, 400_000)
            } else {
                604_800_000
            },
        };
        let polls = draw.percent(14);
        Self {
            rules: Rules {
                courier: Policy {
                    window: draw.of(&[1, 1, 2, 3, 4, 5, 6, 6]),
                    retry: RetryPolicy {
                        base_ms: draw.of(&[50, 1000, 1000, 5000]),
                        cap_ms: draw.of(&[2000, 60_000, 300_000]),
                        give_up_after_ms: draw.of(&[5_000, 60_000, 3_600_000, 259_200_000]),
                        give_up_attempts: draw.of(&[0, 0, 0, 1, 2, 3, 7]),
                    },
                },
                bounds,
                retention_ms: draw.of(&[0, 0, 120_000, 3_600_000, 604_800_000, 604_800_000]),
                dead_letters: draw.of(&[1, 3, 10_000, 10_000]),
                dead_letter_ms: draw.of(&[60_000, 2_592_000_000, 2_592_000_000]),
                consent: grant::Rules {
                    request_rate: 600,
                    ttl_ms: 0,
                    window_ms: 86_400_000,
                    retry_ms: 10_000,
                    timeout_ms: 10_000,
                },
            },
            polls,
            switches: draw.percent(12),
            subjects: draw.of(&[1, 2, 3, SUBJECTS as u64, SUBJECTS as u64]),
            steps: draw.between(6, 19),
            linger_ms: draw.of(&[0, 200, 200]),
            run_ms: draw.of(&[1_000, 20_000, 20_000]),
            timeout_ms: draw.of(&[1_000, 15_000, 15_000]),
            sign_ms: draw.of(&[0, 0, 2, 20]),
            faults: draw.of(&[0, 20, 100]),
            crashes: draw.of(&[0, 3, 8]),
        }
    }

    /// Pushes in flight at once, unless the operator chose otherwise.
    pub fn window(&self) -> usize {
        self.rules.courier.window
    }
}

pub fn push(endpoint: u64) -> Delivery {
    Delivery::Push {
        endpoint_url: format!("https://rx{endpoint}.example/in"),
        authorization_header: None,
        cloudevents: None,
    }
}

pub fn stream(polls: bool) -> Stream {
    let like = stream::tests::stream();
    Stream {
        configuration: Configuration {
            delivery: if polls { Delivery::Poll } else { push(0) },
            events_supported: vec![REVOKED.into()],
            events_requested: None,
            ..like.configuration
        },
        sealed_authorization: None,
        terms: Terms {
            events: vec![REVOKED.into()],
            ..like.terms
        },
        created_at: BEGIN,
        ..like
    }
}

/// All events that may be published, subject by subject; made once.
pub fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let stream = stream(false);
        let sql = TestSql::default();
        stream.save(&sql).unwrap();
        let filter = Filter::load(&sql).unwrap();
        let numbers = (0..SUBJECTS).flat_map(|subject| (0..EVENTS_EACH).map(move |n| (subject, n)));
        numbers
            .map(|(subject, n)| {
                let published = published(subject, n, false);
                let items = stream.items(&sql, &filter, std::slice::from_ref(&published), BEGIN, |_, _| Ok(None));
                let (_, item) = items.unwrap().remove(0);
                Source {
                    published,
                    jti: item.jti,
                    lane: item.lane,
                    size: (HEAD + item.claims.len()) as u64,
                }
            })
            .collect()
    })
}

/// One event; or another one under its id.
pub fn published(subject: usize, n: usize, other: bool) -> Published {
    let event = NewEvent {
        id: Some(format!("{subject}-{n}")),
        event_type: REVOKED.into(),
        sub_id: json!({"format": "email", "email": format!("s{subject}@example.com")}),
        event: if other {
            json!({"reason_admin": {"en": "other"}})
        } else {
            json!({"n": "x".repeat(n * 7)})
        },
        txn: None,
        toe: None,
        traceparent: None,
        tracestate: None,
    };
    Published::new(event, "pub", String::new()).unwrap()
}
