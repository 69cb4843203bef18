//! Status as wishes and holds: what the parties want of a stream, what its endpoint lets us do, and what follows from both.
//!
//! Receiver, operator and we ourselves each have a wish; the strictest one counts and nobody's is overridden. A hold of
//! delivery makes a stream paused that everybody wants enabled, until its own cause ends it.

use crate::protocol::record::Record;
use crate::protocol::status::Status;

/// What one party wants of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Record)]
pub struct Wish {
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whose wish it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    Receiver,
    Operator,
    /// We ourselves: for inactivity.
    Transmitter,
}

impl Party {
    pub fn name(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Operator => "operator",
            Self::Transmitter => "transmitter",
        }
    }
}

/// The wishes of all parties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Record)]
pub struct Wishes {
    #[serde(default)]
    pub receiver: Wish,
    #[serde(default)]
    pub operator: Wish,
    #[serde(default)]
    pub transmitter: Wish,
}

/// How strict a status is: the strictest wish counts.
fn strictness(status: Status) -> u8 {
    match status {
        Status::Enabled => 0,
        Status::Paused => 1,
        Status::Disabled => 2,
    }
}

impl Wishes {
    /// The wish that counts, and whose it is. Among equals the receiver's own.
    pub fn strictest(&self) -> (&Wish, Party) {
        let mut found = (&self.receiver, Party::Receiver);
        for (wish, party) in [
            (&self.operator, Party::Operator),
            (&self.transmitter, Party::Transmitter),
        ] {
            if strictness(wish.status) > strictness(found.0.status) {
                found = (wish, party);
            }
        }
        found
    }

    /// What everybody together wishes.
    pub fn status(&self) -> Status {
        self.strictest().0.status
    }

    /// Takes a wish of the receiver's. `Err` with the operator's wish where that forbids it (SSF-8.1.2.2-5); nothing changes
    /// then. Whoever asks for something is active, so our own wish for inactivity ends.
    pub fn receiver_wishes(&mut self, wish: Wish) -> Result<(), Wish> {
        if strictness(wish.status) < strictness(self.operator.status) {
            return Err(self.operator.clone());
        }
        self.receiver = wish;
        self.transmitter = Wish::default();
        Ok(())
    }
}

/// The status of a stream that delivery `waits` for, for that reason, or does not; with the reason for it. A hold makes a
/// stream paused that everybody wants enabled.
pub fn effective(wishes: &Wishes, waits: Option<&str>) -> (Status, Option<String>) {
    let (wish, _) = wishes.strictest();
    match waits {
        Some(why) if wish.status == Status::Enabled => (Status::Paused, Some(why.to_owned())),
        _ => (wish.status, wish.reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Disabled, Enabled, Paused};

    fn wish(status: Status) -> Wish {
        Wish { status, reason: None }
    }

    fn wishes(receiver: Status, operator: Status, transmitter: Status) -> Wishes {
        Wishes {
            receiver: wish(receiver),
            operator: wish(operator),
            transmitter: wish(transmitter),
        }
    }

    #[test]
    fn the_strictest_wish_counts() {
        for (receiver, operator, transmitter, expected, by) in [
            (Enabled, Enabled, Enabled, Enabled, Party::Receiver),
            (Paused, Enabled, Enabled, Paused, Party::Receiver),
            (Paused, Paused, Paused, Paused, Party::Receiver),
            (Enabled, Paused, Enabled, Paused, Party::Operator),
            (Paused, Disabled, Paused, Disabled, Party::Operator),
            (Disabled, Paused, Paused, Disabled, Party::Receiver),
            (Enabled, Paused, Disabled, Disabled, Party::Transmitter),
        ] {
            let wishes = wishes(receiver, operator, transmitter);
            assert_eq!((wishes.status(), wishes.strictest().1), (expected, by));
        }
    }

    /// SSF-8.1.2.2-5
    #[test]
    fn a_receiver_cannot_undo_what_the_operator_wishes_but_may_be_stricter() {
        for (operator, asked, taken) in [
            (Enabled, Enabled, true),
            (Enabled, Disabled, true),
            (Paused, Enabled, false),
            (Paused, Paused, true),
            (Paused, Disabled, true),
            (Disabled, Enabled, false),
            (Disabled, Paused, false),
            (Disabled, Disabled, true),
        ] {
            let mut all = wishes(Enabled, operator, Paused);
            let before = all.clone();
            assert_eq!(
                all.receiver_wishes(wish(asked)).is_ok(),
                taken,
                "{operator:?} {asked:?}"
            );
            if taken {
                assert_eq!((all.receiver.status, all.transmitter.status), (asked, Enabled));
            } else {
                assert_eq!(all, before, "a refused wish changes nothing");
            }
        }
    }

    #[test]
    fn a_hold_pauses_an_enabled_stream_and_no_other() {
        let enabled = Wishes::default();
        assert_eq!(effective(&enabled, Some("why")), (Paused, Some("why".to_owned())));
        assert_eq!(effective(&enabled, None), (Enabled, None));
        let disabled = wishes(Disabled, Enabled, Enabled);
        assert_eq!(effective(&disabled, Some("why")), (Disabled, None));
    }
}
