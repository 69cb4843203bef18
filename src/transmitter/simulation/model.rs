//! The reference: what has to be true of a stream, told from outside. It knows what was asked, what was sent and what was
//! answered, and follows that in the plainest way: a list of places, each of which waits or does not.

pub mod places;
mod pushes;
mod restart;

use super::plan::{Plan, Source};
use crate::delivery::answer::HoldReason;
use crate::delivery::bounds::Bounds;
use crate::delivery::chunk::{Jti, Lane};
use crate::delivery::outbox::Pos;
use crate::protocol::status::Status;
use crate::transmitter::live::Live;

pub use pushes::Sent;

/// What is not so, in words.
pub type Check<T = ()> = Result<T, String>;

/// Something has to be true.
macro_rules! claim {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}
pub(super) use claim;

/// An accepted event.
pub struct Event {
    pub jti: Jti,
    lane: Lane,
    claims: Vec<u8>,
    size: u64,
    pub accepted_at: u64,
    /// Its receiver has it.
    taken: bool,
    /// It went to the dead letters or was dropped with its stream, once at least: no order is promised for it any more.
    excused: bool,
    /// A publisher that repeats it is recognised.
    remembered: bool,
}

/// A place in the outbox.
struct Place {
    event: usize,
    pos: Pos,
    /// When it was stored.
    at: u64,
    waits: bool,
    /// It was dropped, or may have been deleted: no replay brings it back.
    gone: bool,
    tries: Tries,
}

/// What is known of the failed attempts of an event.
#[derive(Clone, Copy)]
struct Tries {
    failed: u32,
    first_failed_at: Option<u64>,
    /// Not to be tried before.
    next_at: u64,
    /// The stream knows of all of them.
    sure: bool,
}

const NONE_YET: Tries = Tries {
    failed: 0,
    first_failed_at: None,
    next_at: 0,
    sure: true,
};

/// Nothing is known of them: the event may be given up at once, or not.
const FORGOTTEN: Tries = Tries {
    first_failed_at: Some(0),
    sure: false,
    ..NONE_YET
};

/// A control event that waits.
struct Control {
    jti: Jti,
    verification: bool,
    tries: Tries,
}

struct Letter {
    event: usize,
    at: u64,
}

/// A push that is under way.
struct UnderWay {
    id: u64,
    pos: Pos,
    jti: Jti,
    lane: Lane,
    moves: u32,
    replays: u32,
}

pub struct Model {
    pub events: Vec<Event>,
    places: Vec<Place>,
    controls: Vec<Control>,
    /// All control events that there ever were, and whether they are verifications.
    controls_ever: Vec<(Jti, bool)>,
    letters: Vec<Letter>,
    /// The newest chunk.
    tail: i64,
    /// Places before this one were handed out to a poll.
    handed: Pos,
    receiver: Status,
    operator: Status,
    transmitter: Status,
    pub polls: bool,
    pub window: usize,
    widest: usize,
    /// The window was 1 all the time.
    strict: bool,
    pub pauses_on_dead: bool,
    pub omits_more: bool,
    bounds: Bounds,
    keep_ms: u64,
    dead_letter_ms: u64,
    most_letters: usize,
    give_up: (u32, u64),
    under_way: Vec<UnderWay>,
    pub moves: u32,
    pub replays: u32,
    /// What the stream said last about its hold.
    hold: Option<(HoldReason, u64)>,
    /// The latest instant that the endpoint named.
    named: u64,
    /// The endpoint said that it is gone.
    gone: bool,
    failures: u32,
    /// Whether the last event that was read was answered 415; `None` when the stream may have forgotten.
    format_refused: Option<bool>,
    /// Events acknowledged since the stream was loaded or ended a run.
    acknowledged: usize,
    pub letters_changed: bool,
    /// Deaths, drops, resurrections and so on, so that the runs are known to reach what they are about.
    pub seen: super::tally::Seen,
}

impl Model {
    pub fn new(plan: &Plan) -> Self {
        let rules = &plan.rules;
        let retry = rules.courier.retry;
        Self {
            events: Vec::new(),
            places: Vec::new(),
            controls: Vec::new(),
            controls_ever: Vec::new(),
            letters: Vec::new(),
            tail: 0,
            handed: Pos::of(1),
            receiver: Status::Enabled,
            operator: Status::Enabled,
            transmitter: Status::Enabled,
            polls: plan.polls,
            window: plan.window(),
            widest: plan.window(),
            strict: plan.window() == 1,
            pauses_on_dead: false,
            omits_more: false,
            bounds: rules.bounds,
            keep_ms: rules.retention_ms.max(600_000),
            dead_letter_ms: rules.dead_letter_ms,
            most_letters: rules.dead_letters as usize,
            give_up: (retry.give_up_attempts, retry.give_up_after_ms),
            under_way: Vec::new(),
            moves: 0,
            replays: 0,
            hold: None,
            named: 0,
            gone: false,
            failures: 0,
            format_refused: Some(false),
            acknowledged: 0,
            letters_changed: false,
            seen: super::tally::Seen::default(),
        }
    }

    /// What everybody together wishes: the strictest.
    pub fn wished(&self) -> Status {
        let wishes = [self.receiver, self.operator, self.transmitter];
        if wishes.contains(&Status::Disabled) {
            Status::Disabled
        } else if wishes.contains(&Status::Paused) {
            Status::Paused
        } else {
            Status::Enabled
        }
    }

    /// The receiver wishes a status; whether it may.
    pub fn receiver_wishes(&mut self, status: Status, now: u64) -> bool {
        let rank = |status| match status {
            Status::Enabled => 0,
            Status::Paused => 1,
            Status::Disabled => 2,
        };
        if rank(status) < rank(self.operator) {
            return false;
        }
        let before = self.wished();
        self.receiver = status;
        self.transmitter = Status::Enabled;
        if status == Status::Enabled {
            self.asked_again(now);
        }
        self.follow(before);
        true
    }

    pub fn operator_wishes(&mut self, status: Status, now: u64) {
        let before = self.wished();
        self.operator = status;
        if status == Status::Enabled {
            self.transmitter = Status::Enabled;
            self.asked_again(now);
        }
        self.follow(before);
    }

    fn follow(&mut self, before: Status) {
        if self.wished() == Status::Disabled && before != Status::Disabled {
            self.drop_waiting();
        }
    }

    pub fn set_window(&mut self, window: usize) {
        if (window <= 1) != (self.window <= 1) {
            self.every_try(|tries| tries.sure = false);
        }
        self.strict &= window == 1;
        self.window = window;
        self.widest = self.widest.max(window);
    }

    /// Another endpoint, or the same one named again: nothing of before counts.
    pub fn moved(&mut self) {
        self.moves += 1;
        self.named = 0;
        self.gone = false;
        self.failures = 0;
        self.format_refused = Some(false);
        self.hold = None;
        self.every_try(|tries| *tries = NONE_YET);
    }

    /// Somebody asks for delivery: whatever waits for a time may go now.
    fn asked_again(&mut self, now: u64) {
        self.named = self.named.min(now);
        self.gone = false;
        self.failures = 0;
        self.hold = self
            .hold
            .filter(|(reason, _)| *reason != HoldReason::Failing)
            .map(|(reason, until)| (reason, until.min(now)));
        self.every_try(|tries| {
            *tries = Tries {
                failed: 0,
                first_failed_at: tries.first_failed_at.map(|_| now),
                next_at: 0,
                sure: tries.sure,
            };
        });
    }

    fn every_try(&mut self, change: impl Fn(&mut Tries)) {
        let places = self.places.iter_mut().map(|place| &mut place.tries);
        let controls = self.controls.iter_mut().map(|control| &mut control.tries);
        places.chain(controls).for_each(change);
    }

    /// The receiver has an event. Within a subject first deliveries come in the order of acceptance, with a window of 1
    /// within the whole stream.
    pub fn taken(&mut self, jti: &Jti) -> Check {
        let Some(index) = self.events.iter().rposition(|event| event.jti == *jti) else {
            claim!(
                self.controls_ever.iter().any(|(known, _)| known == jti),
                "an event that nobody accepted was delivered: {jti:02x?}"
            );
            return Ok(());
        };
        if std::mem::replace(&mut self.events[index].taken, true) {
            self.seen.repeats += 1;
            return Ok(());
        }
        self.seen.deliveries += 1;
        let lane = self.events[index].lane;
        let earlier = self.events[..index]
            .iter()
            .position(|event| (self.strict || event.lane == lane) && !event.taken && !event.excused);
        claim!(
            earlier.is_none() || self.events[index].excused,
            "event {index} was delivered before event {earlier:?}"
        );
        Ok(())
    }

    /// What has to be true at any time.
    pub fn compare(&mut self, live: &mut Live) -> Check {
        self.compare_controls(live)?;
        let queued = live.outbox.queued();
        let waiting = || self.places.iter().filter(|place| place.waits);
        let expected = (
            waiting().count() as u64,
            waiting().map(|place| self.events[place.event].size).sum::<u64>(),
            waiting().next().map(|place| place.at),
        );
        let found = (queued.events, queued.bytes, queued.oldest_at);
        claim!(
            found == expected,
            "queued (events, bytes, oldest) is {found:?} instead of {expected:?}"
        );
        let (found, expected) = (live.stream.wishes.status(), self.wished());
        claim!(
            found == expected,
            "the wishes make it {found:?} instead of {expected:?}"
        );
        let hold = live.courier.hold().map(|hold| (hold.reason, hold.until));
        let stream = &live.stream;
        let told = stream.announced == stream.lasting_status(live.courier.hold().as_ref(), 0).0;
        claim!(
            told || stream.full_since.is_some(),
            "nobody is told that the stream is not {:?}",
            stream.announced
        );
        claim!(
            hold == self.hold,
            "the hold became {hold:?} from {:?} without a cause",
            self.hold
        );
        Ok(())
    }

    /// Whether the clock alone must bring something to push.
    pub fn must_wake(&self) -> bool {
        let waits = self.places.iter().any(|place| place.waits);
        !self.polls && waits && self.wished() == Status::Enabled && !self.gone && self.hold.is_none()
    }

    /// What must be true in the end, when the endpoint took everything it was sent.
    pub fn concluded(&self) -> Check {
        claim!(!self.places.iter().any(|place| place.waits), "something still waits");
        claim!(
            !self.controls.iter().any(|control| control.verification),
            "a verification event still waits"
        );
        let lost = self.events.iter().position(|event| !event.taken && !event.excused);
        claim!(lost.is_none(), "event {lost:?} is lost");
        Ok(())
    }

    /// An event that was published lately, to be repeated.
    pub fn repeatable(&self, source: &Source, now: u64) -> bool {
        self.events
            .iter()
            .any(|event| event.jti == source.jti && event.remembered && now - event.accepted_at < 590_000)
    }

    pub fn accepted_ever(&self, source: &Source) -> bool {
        self.events.iter().any(|event| event.jti == source.jti)
    }

    /// Whether a poll client that remembers what it was given would acknowledge this one.
    pub fn is_held(&self, event: usize) -> bool {
        self.events[event].taken
    }

    pub fn held_controls(&self) -> Vec<Jti> {
        self.controls.iter().map(|control| control.jti).collect()
    }

    pub fn waits(&self) -> bool {
        self.places.iter().any(|place| place.waits) || self.controls.iter().any(|control| control.verification)
    }
}
