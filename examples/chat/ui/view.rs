//! What the screen shows, without a screen: notices go in, and nothing here knows what a terminal is.

use std::collections::VecDeque;

use bowline::Health;
use bowline::error::Outcome;
use bowline::id::MessageId;

use super::plain::{describe, why_not};
use crate::notice::{Notice, Presence};

/// Lines kept; the oldest go.
const KEPT: usize = 2000;

/// The conversation as it is shown.
#[derive(Debug, Default)]
pub(crate) struct View {
    lines: VecDeque<Line>,
    link: Link,
    peer: Option<(String, Presence)>,
    typing: bool,
}

/// One line of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Mine {
        id: MessageId,
        text: String,
        fate: Fate,
    },
    Theirs {
        from: String,
        text: String,
    },
    Info(String),
    /// To be copied: it has nothing in front of it, and fits into 80 columns.
    Command(String),
}

/// How far a message of ours has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    Received,
    Handled,
    Failed(String),
}

/// The connection, as the status line tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    #[default]
    Nobody,
    Connected,
    /// Something is wrong, in words; what is typed waits.
    Broken(String),
}

impl View {
    /// Takes note of what happened.
    pub(crate) fn apply(&mut self, notice: &Notice) {
        match notice {
            Notice::Accepted { id, text } => {
                self.push(Line::Mine { id: *id, text: text.clone(), fate: Fate::Accepted });
            }
            Notice::Received { id } => self.resolve(*id, Fate::Received),
            Notice::Ended { id, outcome: Outcome::Handled } => self.resolve(*id, Fate::Handled),
            Notice::Ended { id, outcome } => self.resolve(*id, Fate::Failed(why_not(outcome))),
            Notice::Message { from, text, .. } => {
                self.typing = false;
                self.push(Line::Theirs { from: from.clone(), text: text.clone() });
            }
            Notice::Presence { name, presence } => {
                self.peer = Some((name.clone(), *presence));
                self.push(Line::Info(describe(notice)));
            }
            Notice::Typing { active } => self.typing = *active,
            Notice::Connected { .. } => {
                self.link = Link::Connected;
                self.push(Line::Info(describe(notice)));
            }
            Notice::Recovered | Notice::Service(Health::Serving) => self.link = Link::Connected,
            // One banner; a line for every attempt would push the conversation off the screen.
            Notice::Suspect
            | Notice::Service(_)
            | Notice::Reconnecting { .. }
            | Notice::Offline { .. }
            | Notice::GaveUp => {
                self.typing = false;
                self.link = Link::Broken(describe(notice));
            }
            Notice::Listening { addr, fingerprint, program } => {
                let digits = fingerprint.strip_prefix("sha256:").unwrap_or(fingerprint);
                self.push(Line::Info("listening; to join, run:".to_owned()));
                self.push(Line::Command(format!("{program} connect {addr} \\")));
                self.push(Line::Command(format!("--fingerprint {digits}")));
            }
            Notice::Closed(_) => {
                self.link = Link::Nobody;
                self.peer = None;
                self.typing = false;
                self.push(Line::Info(describe(notice)));
            }
            Notice::PathChanged { .. } | Notice::Reset { .. } | Notice::Hint(_) | Notice::Problem(_) => {
                self.push(Line::Info(describe(notice)));
            }
        }
    }

    /// The conversation, oldest line first.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter()
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Who the peer is and what it does, in words.
    pub(crate) fn peer(&self) -> String {
        match &self.peer {
            None => String::new(),
            Some((name, _)) if self.typing => format!("{name} is writing …"),
            Some((name, Presence::Available)) => format!("{name} is here"),
            Some((name, Presence::Away)) => format!("{name} is away"),
            Some((name, Presence::Leaving)) => format!("{name} is leaving"),
        }
    }

    fn push(&mut self, line: Line) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn resolve(&mut self, message: MessageId, reached: Fate) {
        // From the newest on: what still changes is near the end.
        for line in self.lines.iter_mut().rev() {
            if let Line::Mine { id, fate, .. } = line
                && *id == message
            {
                *fate = reached;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tally::tests::id;

    fn view(notices: impl IntoIterator<Item = Notice>) -> View {
        let mut view = View::default();
        notices.into_iter().for_each(|notice| view.apply(&notice));
        view
    }

    fn accepted(sequence: u64) -> Notice {
        Notice::Accepted { id: id(1, sequence), text: format!("line {sequence}") }
    }

    fn fates(view: &View) -> Vec<Fate> {
        let mine = view.lines().filter_map(|line| match line {
            Line::Mine { fate, .. } => Some(fate.clone()),
            _ => None,
        });
        mine.collect()
    }

    #[test]
    fn ticks_change_in_place() {
        let mut view = view([accepted(1), accepted(2), accepted(3)]);
        assert_eq!(fates(&view), [Fate::Accepted, Fate::Accepted, Fate::Accepted]);
        view.apply(&Notice::Received { id: id(1, 1) });
        view.apply(&Notice::Received { id: id(1, 2) });
        view.apply(&Notice::Ended { id: id(1, 1), outcome: Outcome::Handled });
        view.apply(&Notice::Ended { id: id(1, 3), outcome: Outcome::Rejected { reason: "no".to_owned() } });
        assert_eq!(fates(&view), [Fate::Handled, Fate::Received, Fate::Failed("rejected: no".to_owned())]);
        assert_eq!(view.lines().count(), 3);
    }

    #[test]
    fn the_status_follows_the_connection() {
        let peer = || "sha256:0123456789".to_owned();
        let mut view = view([]);
        assert_eq!(view.link(), &Link::Nobody);
        view.apply(&Notice::Connected { peer: peer(), resumed: false });
        assert_eq!(view.link(), &Link::Connected);
        view.apply(&Notice::Reconnecting { attempt: 2, after: Duration::from_millis(1900) });
        assert_eq!(view.link(), &Link::Broken("connection lost; attempt 2 in 2 s".to_owned()));
        view.apply(&accepted(1));
        assert_eq!(fates(&view), [Fate::Accepted], "what is typed meanwhile is shown");
        view.apply(&Notice::Connected { peer: peer(), resumed: true });
        assert_eq!(view.link(), &Link::Connected);
    }

    #[test]
    fn a_message_ends_the_writing() {
        let name = || "ada".to_owned();
        let mut view = view([
            Notice::Presence { name: name(), presence: Presence::Available },
            Notice::Typing { active: true },
        ]);
        assert_eq!(view.peer(), "ada is writing …");
        view.apply(&Notice::Message { id: id(2, 1), from: name(), text: "hi".to_owned() });
        assert_eq!(view.peer(), "ada is here");
        view.apply(&Notice::Presence { name: name(), presence: Presence::Leaving });
        assert_eq!(view.peer(), "ada is leaving");
    }

    #[test]
    fn old_lines_go() {
        let view = view((0..KEPT as u64 + 5).map(accepted));
        assert_eq!(view.lines().count(), KEPT);
        let first = view.lines().next();
        assert!(matches!(first, Some(Line::Mine { text, .. }) if text == "line 5"), "{first:?}");
    }
}
