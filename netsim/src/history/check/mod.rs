//! One checker for each guarantee.
//!
//! | file | guarantees |
//! |---|---|
//! | `delivery` | G1 no loss, G2 no invention, G3 no duplicate, G6 no retransmission |
//! | `order` | G4 |
//! | `truth` | G5 acknowledgements, G7 expiry, G8 receipts |
//! | `liveness` | G13 recovery, G14 independence, G15 no storm |

mod delivery;
mod liveness;
mod order;
mod truth;

use super::record::{Life, MessageKey};
use super::verdict::{Guarantee, Verdict, Violation};
use super::{Bounds, Channel, History, Peer};
use crate::time::Time;

pub(super) fn check(history: &History, bounds: &Bounds) -> Verdict {
    let mut case = Case { history, bounds, verdict: Verdict::default() };
    case.deliveries();
    case.order();
    case.truth();
    case.liveness();
    // Those at the same time stay in the order of the guarantees.
    case.verdict.violations.sort_by_key(|violation| violation.at);
    case.verdict
}

/// A history, what it is held against, and what was found so far.
struct Case<'a> {
    history: &'a History,
    bounds: &'a Bounds,
    verdict: Verdict,
}

impl<'a> Case<'a> {
    fn messages(&self) -> impl Iterator<Item = (MessageKey, &'a Channel, &'a Life)> + use<'a> {
        let history = self.history;
        history.messages.iter().map(|(key, life)| (*key, &history.channels[key.channel.0], life))
    }

    /// A fact is held against a guarantee.
    fn judge(&mut self, guarantee: Guarantee) {
        *self.verdict.judged.entry(guarantee).or_insert(0) += 1;
    }

    /// A fact about a message is held against a guarantee.
    fn expect(
        &mut self,
        kept: bool,
        guarantee: Guarantee,
        at: Time,
        message: MessageKey,
        what: impl FnOnce() -> String,
    ) {
        self.judge(guarantee);
        if !kept {
            let MessageKey { channel, epoch, sequence } = message;
            let Channel { from, to, label, .. } = &self.history.channels[channel.0];
            let subject = format!("{from} to {to}, {label:?}, epoch {epoch}, message {sequence}");
            let (what, message) = (what(), Some(message));
            self.verdict.violations.push(Violation { guarantee, at, message, subject, what });
        }
    }

    /// A fact about a peer is held against a guarantee.
    fn expect_of_peer(
        &mut self,
        kept: bool,
        guarantee: Guarantee,
        at: Time,
        peer: &str,
        what: impl FnOnce() -> String,
    ) {
        self.judge(guarantee);
        if !kept {
            let (what, subject) = (what(), peer.to_owned());
            self.verdict.violations.push(Violation { guarantee, at, message: None, subject, what });
        }
    }

    /// Whether the peer lost its memory after the first and not after the second moment.
    fn forgot_between(&self, peer: &str, from: Time, to: Time) -> bool {
        self.peer(peer).is_some_and(|peer| any_between(&peer.forgot, from, to))
    }

    /// Whether the peer's process began again with what its store remembered, after the first and not after the second
    /// moment.
    fn restarted_between(&self, peer: &str, from: Time, to: Time) -> bool {
        self.peer(peer).is_some_and(|peer| any_between(&peer.restarted, from, to))
    }

    /// Whether the peer's process began again, or lost its memory, in that time.
    fn crashed_between(&self, peer: &str, from: Time, to: Time) -> bool {
        self.restarted_between(peer, from, to) || self.forgot_between(peer, from, to)
    }

    fn peer(&self, name: &str) -> Option<&'a Peer> {
        self.history.peers.get(name)
    }

    /// Nobody is left who could be told: the sender lost its memory while the message was open.
    fn orphaned(&self, channel: &Channel, life: &Life) -> bool {
        let Some((sent, _)) = life.sent else { return false };
        let until = life.resolved().unwrap_or(self.history.end);
        self.forgot_between(&channel.from, sent, until)
    }
}

fn any_between(moments: &[Time], from: Time, to: Time) -> bool {
    moments.iter().any(|at| (from..=to).contains(at))
}
