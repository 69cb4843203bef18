//! What a restart may change: answers that were not written down yet are forgotten, and nothing else.

use super::{Check, Control, FORGOTTEN, Model, claim};
use crate::delivery::answer::HoldReason;
use crate::delivery::control::Gate;
use crate::transmitter::live::Live;

impl Model {
    /// The stream was loaded anew while pushes were under way.
    pub fn restarted(&mut self, live: &mut Live) -> Check {
        self.seen.restarts += 1;
        let in_flight = self.under_way.len();
        self.under_way.clear();
        let mut again = 0;
        for place in &mut self.places {
            let waits = live.outbox.get(place.pos).is_some();
            claim!(waits || !place.waits, "{:?} is lost by a restart", place.pos);
            claim!(!place.gone || !waits, "{:?} was dropped and came back", place.pos);
            again += usize::from(waits && !place.waits);
            place.waits = waits;
        }
        // Numbers of chunks that were dropped may come again, when a replay went back behind them.
        if self.places.iter().any(|place| place.waits) {
            let kept = self.places.iter().rfind(|place| !place.gone);
            self.tail = kept.map_or(self.tail, |place| place.pos.seq);
            self.places.retain(|place| place.pos.seq <= self.tail);
        }
        // Control events that were delivered, but not written down as such, wait again, where they stood.
        let waiting = live.outbox.control().waiting(Gate::Open).map(|item| item.jti);
        for (at, jti) in waiting.enumerate() {
            if self.controls.get(at).is_some_and(|control| control.jti == jti) {
                continue;
            }
            let known = self.controls_ever.iter().find(|(known, _)| *known == jti);
            // What is new tells of the restart itself.
            if let Some((_, verification)) = known {
                again += 1;
                self.controls.insert(
                    at,
                    Control {
                        jti,
                        verification: *verification,
                        tries: FORGOTTEN,
                    },
                );
            }
        }
        claim!(
            again <= self.acknowledged && again + in_flight <= 2 * self.widest,
            "a restart sends {again} + {in_flight} events again"
        );
        claim!(
            again < self.widest.max(2),
            "{again} acknowledged events were not written down, with a window of {}",
            self.widest
        );
        self.seen.again += again as u64;
        self.acknowledged = 0;
        // What failed may be forgotten, but not what the endpoint asked for.
        self.every_try(|tries| {
            tries.sure = false;
            tries.next_at = 0;
        });
        self.failures = 0;
        self.format_refused = None;
        let before = self.hold;
        self.hold = live.courier.hold().map(|hold| (hold.reason, hold.until));
        if let Some((reason, until)) = before.filter(|(reason, _)| *reason != HoldReason::Failing) {
            let kept = self.hold.is_some_and(|(_, kept)| kept >= until);
            claim!(kept, "a restart forgets the hold {reason:?}, leaving {:?}", self.hold);
        }
        self.moves = 0;
        self.replays = 0;
        Ok(())
    }

    /// A run ended: everything is written down.
    pub fn rested(&mut self) {
        self.acknowledged = 0;
    }
}
