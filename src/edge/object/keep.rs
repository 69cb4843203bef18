//! Storing what was judged, whichever way it came.

use crate::edge::command::{Answer, Refusal};
use crate::receiver::inbox::{self, Accepted, StoreOutcome};
use crate::receiver::intake::AboutStream;
use crate::receiver::source::Source;

use super::serve::abort;
use super::source::SourceObject;

impl SourceObject {
    /// Stores an event that was judged, and heeds what it says about the stream. All of it in one go.
    pub(super) fn keep(
        &self,
        source: &Source,
        event: &Accepted,
        about: Option<&AboutStream>,
        now: u64,
    ) -> Answer<StoreOutcome> {
        // What is in the inbox already has to be counted before what comes now.
        self.tally()?;
        let about = about.filter(|_| source.is_managed());
        if let Some(about) = about
            // PUSH-2-7: a repeated one is answered as at first, whatever it says.
            && !inbox::is_known(&self.sql, &event.iss, &event.jti)?
        {
            self.check_about(source, about, now)?;
        }
        let stored = self
            .take_in(source, event, now)
            .map_err(Refusal::from)
            .and_then(|outcome| {
                self.count(|tally| match outcome {
                    StoreOutcome::Stored => (tally.received, tally.last_event_at) = (tally.received + 1, Some(now)),
                    StoreOutcome::Duplicate => tally.duplicates += 1,
                })?;
                if let (Some(about), StoreOutcome::Stored) = (about, outcome) {
                    self.heed(about, now)?;
                }
                Ok(outcome)
            });
        let outcome = stored.inspect_err(|_| {
            // Half of a change must not stay: what is not committed goes with this life of the object.
            abort(&self.state, "a fault while storing");
        })?;
        self.write_long_tally()?;
        Ok(outcome)
    }
}
