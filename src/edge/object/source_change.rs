//! Changes of a source: one request, one write, with everything that has to be done for it.

use serde_json::Value;

use crate::edge::command::{Answer, SourceReply, SourceSecrets};
use crate::receiver::setup::Setup;
use crate::receiver::wanted;

use super::forwards::seal_secret;
use super::source::{SourceObject, remote_policy};

/// Problems that only a source can have whose stream is managed.
const OF_MANAGING: [&str; 10] = [
    "setup_failed",
    "token_refused",
    "credentials_unreadable",
    "verification_unanswered",
    "poll_failing",
    "stream_paused",
    "stream_disabled",
    "stream_gone",
    "subjects_refused",
    "events_refused",
];

impl SourceObject {
    /// Changes what may be changed of a source. Who judged by the old one judges again.
    pub(super) async fn change(&self, patch: &Value) -> Answer<SourceReply> {
        let settings = self.settings()?;
        let policy = remote_policy(&settings);
        let (_, given) = self.source()?.patched(patch, &policy)?;
        let secrets = SourceSecrets {
            credentials: given.credentials.flatten(),
            authorization_header: None,
        };
        let sealed = self.seal_secrets(&secrets).await?;
        let webhook_secret = match patch.get("webhook_secret").and_then(Value::as_str) {
            Some(secret) => Some(seal_secret(&settings, &self.state.id().to_string(), secret).await?),
            None => None,
        };
        // Sealing took its time: the source may be another one now.
        let before = self.source()?;
        let (mut source, given) = before.patched(patch, &policy)?;
        source.webhook_secret = webhook_secret.or(source.webhook_secret);
        // Nothing is awaited from here until all is written: a crash leaves all of it or nothing, and no run sees a half.
        source.save(&self.sql)?;
        self.have_source(&source);
        self.keep_secrets(&sealed)?;
        if let Some(subjects) = &given.subjects {
            wanted::replace(&self.sql, subjects)?;
        }
        // Where nothing counts any more nothing is missing.
        if patch.get("sequence_gaps").is_some() || source.envelope != before.envelope {
            self.acknowledge_gaps()?;
        }
        if !source.is_managed() && before.is_managed() {
            self.manage_no_more()?;
        } else if let Some(from) = given.from.filter(|_| source.is_managed()) {
            self.begin_again(from)?;
        }
        if !source.managed.poll {
            self.problem("poll_failing", None)?;
        }
        self.poller.borrow_mut().start_over();
        // The copy is of no use to a crash, the alarm is.
        self.nudge().await;
        self.copy_source().await;
        self.view().map(|view| SourceReply::View(Box::new(view)))
    }

    /// The credentials were taken back: they go, nothing is asked of the transmitter any more, and what is known of it counts no
    /// longer.
    fn manage_no_more(&self) -> Answer<()> {
        self.turn.set(self.turn.get() + 1);
        self.forget_secrets()?;
        self.change_setup(&mut |setup| *setup = Setup::new())?;
        for code in OF_MANAGING {
            self.problem(code, None)?;
        }
        Ok(())
    }
}
