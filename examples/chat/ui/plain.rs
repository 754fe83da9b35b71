//! A conversation as plain lines, for pipes and files.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bowline::Health;
use bowline::error::{Outcome, Side};
use bowline::id::MessageId;

use super::Page;
use crate::notice::{Notice, Presence, short};

/// Writes notices as lines without escape sequences.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    /// What was said and is not resolved: ticks come with their text.
    said: BTreeMap<MessageId, String>,
}

impl Page for Plain {
    fn show(&mut self, notice: &Notice, out: &mut dyn Write) -> io::Result<()> {
        match notice {
            Notice::Accepted { id, text } => {
                self.said.insert(*id, text.clone());
            }
            Notice::Received { id } => writeln!(out, "✓  {}", self.text(id))?,
            Notice::Ended { id, outcome } => {
                match outcome {
                    Outcome::Handled => writeln!(out, "✓✓ {}", self.text(id))?,
                    outcome => writeln!(out, "✗  {} ({})", self.text(id), why_not(outcome))?,
                }
                self.said.remove(id);
            }
            Notice::Message { from, text, .. } => writeln!(out, "{from}: {text}")?,
            Notice::Typing { .. } => {}
            Notice::Listening { addr, fingerprint, program } => {
                writeln!(out, "* {}", describe(notice))?;
                writeln!(out, "* to join, run: {program} connect {addr} --fingerprint {fingerprint}")?;
            }
            other => writeln!(out, "* {}", describe(other))?,
        }
        out.flush()
    }
}

impl Plain {
    fn text(&self, id: &MessageId) -> &str {
        self.said.get(id).map_or("", String::as_str)
    }
}

/// Why a message was not handled, in words.
pub(crate) fn why_not(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Handled => "handled".to_owned(),
        Outcome::Rejected { reason } => format!("rejected: {reason}"),
        _ => "nobody knows whether it arrived".to_owned(),
    }
}

/// A notice in words.
pub(crate) fn describe(notice: &Notice) -> String {
    match notice {
        Notice::Listening { addr, fingerprint, .. } => {
            format!("listening on {addr}, fingerprint {fingerprint}")
        }
        Notice::Connected { peer, resumed: false } => format!("connected to {}", short(peer)),
        Notice::Connected { resumed: true, .. } => "connected again, nothing was lost".to_owned(),
        Notice::Accepted { text, .. } | Notice::Message { text, .. } => text.clone(),
        Notice::Received { .. } => "received".to_owned(),
        Notice::Ended { outcome: Outcome::Handled, .. } => "handled".to_owned(),
        Notice::Ended { outcome, .. } => why_not(outcome),
        Notice::Presence { name, presence } => match presence {
            Presence::Available => format!("{name} is here"),
            Presence::Away => format!("{name} is away"),
            Presence::Leaving => format!("{name} is leaving"),
        },
        Notice::Typing { .. } => "writing …".to_owned(),
        Notice::Suspect => "the peer does not answer".to_owned(),
        Notice::Service(Health::Serving) => "the peer's program answers again".to_owned(),
        Notice::Service(Health::Stalled) => "connected, but the peer's program is not answering".to_owned(),
        Notice::Service(Health::Busy) => "connected, but the peer's program is busy".to_owned(),
        Notice::Service(Health::Draining) => "connected, but the peer's program is about to leave".to_owned(),
        Notice::Recovered => "the peer answers again".to_owned(),
        Notice::Reconnecting { attempt, after } => {
            format!("connection lost; attempt {attempt} in {} s", after.as_millis().div_ceil(1000))
        }
        Notice::Offline { pending: 0 } => "the peer is offline".to_owned(),
        Notice::Offline { pending } => format!("the peer is offline; {pending} messages wait for it"),
        Notice::GaveUp => "gave up dialing; /reconnect tries again".to_owned(),
        Notice::PathChanged { remote } => format!("the peer is at {remote} now"),
        Notice::Reset { undelivered } => format!(
            "the peer is back but has forgotten the conversation; the fate of {undelivered} messages is unknown"
        ),
        Notice::Hint(text) | Notice::Problem(text) => text.clone(),
        Notice::Closed(reason) => {
            let side = match reason.side {
                Side::Local => "you have left",
                Side::Remote => "the peer has left",
            };
            let unclean = if reason.clean { "" } else { ", without a goodbye" };
            let text = if reason.reason.is_empty() { String::new() } else { format!(" ({})", reason.reason) };
            format!("{side}{unclean}{text}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::tests::id;

    #[test]
    fn ticks_come_with_their_text() {
        let text = || "hello".to_owned();
        let mut out = Vec::new();
        let mut plain = Plain::default();
        for notice in [
            Notice::Connected { peer: "sha256:0123456789abcdef".to_owned(), resumed: false },
            Notice::Presence { name: "ada".to_owned(), presence: Presence::Available },
            Notice::Accepted { id: id(1, 1), text: text() },
            Notice::Message { id: id(2, 1), from: "ada".to_owned(), text: "hi".to_owned() },
            Notice::Received { id: id(1, 1) },
            Notice::Ended { id: id(1, 1), outcome: Outcome::Handled },
            Notice::Accepted { id: id(1, 2), text: text() },
            Notice::Ended { id: id(1, 2), outcome: Outcome::Rejected { reason: "no".to_owned() } },
        ] {
            plain.show(&notice, &mut out).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "* connected to 01234567\n* ada is here\nada: hi\n✓  hello\n✓✓ hello\n✗  hello (rejected: no)\n"
        );
        assert!(plain.said.is_empty());
    }
}
