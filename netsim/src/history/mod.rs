//! Checkers for applications: write down what was sent, handed over and said, and learn which promise broke.
//!
//! Nothing here knows a protocol. An application, or a test of a library, records what *it* sees at both ends;
//! [`History::check`] holds that against the guarantees of reliable messaging, [`Guarantee`]: no loss, no
//! invention, no duplicate, order, truth of acknowledgements, expiry, receipts, recovery, independence, no storm.
//!
//! ```
//! use bowline_netsim::Time;
//! use bowline_netsim::history::{Bounds, Guarantee, History, Mode, Outcome, Sent};
//!
//! let mut history = History::new();
//! let chat = history.channel("alice", "bob", "chat", Mode::ReliableOrdered);
//! let (one, two) = (chat.message(0, 1), chat.message(0, 2));
//! history.sent(Time::from_millis(0), one, Sent::new("hello"));
//! history.sent(Time::from_millis(5), two, Sent::new("world"));
//! history.handled(Time::from_millis(40), two, "world");
//! history.handled(Time::from_millis(50), one, "hello");
//! history.receipt(Time::from_millis(80), one, Outcome::Handled);
//! history.receipt(Time::from_millis(90), two, Outcome::Handled);
//!
//! let verdict = history.check(&Bounds::new());
//! let broken = &verdict.violations()[0];
//! assert_eq!(broken.guarantee, Guarantee::G4);
//! assert!(broken.to_string().contains(r#"alice to bob, "chat", epoch 0, message 1: handed over after message 2"#));
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | the words: channels, messages, outcomes |
//! | `bounds` | the figures that a history is held against |
//! | `check` | one checker for each guarantee |
//! | `verdict` | what they found, and how much they looked at |
//!
//! Events may be recorded in any order, except that what one receiver saw of one channel comes in the order in
//! which it saw it. A history of 100 000 messages is checked in well under a second.

mod bounds;
mod check;
mod record;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

pub use bounds::Bounds;
use record::Life;
pub use record::{ChannelKey, Digest, Handover, MessageKey, Mode, Outcome, Sent};
pub use verdict::{Broken, Guarantee, Verdict, Violation};

use crate::time::Time;

/// What happened to messages, seen from both ends.
#[derive(Clone, Debug, Default)]
pub struct History {
    channels: Vec<Channel>,
    messages: BTreeMap<MessageKey, Life>,
    peers: BTreeMap<String, Peer>,
    /// When the network broke and when it healed.
    outages: Vec<(Time, Option<Time>)>,
    end: Time,
}

#[derive(Clone, Debug)]
struct Channel {
    from: String,
    to: String,
    label: String,
    mode: Mode,
    at_least_once: bool,
    /// What the receiver saw, in order.
    seen: Vec<Seen>,
    /// When its receiver did not take what had come.
    stalls: Vec<(Time, Option<Time>)>,
}

#[derive(Clone, Debug)]
enum Seen {
    Handover { at: Time, epoch: u64, sequence: u64, first: bool },
    Skip { at: Time, epoch: u64, sequences: RangeInclusive<u64> },
}

#[derive(Clone, Debug, Default)]
struct Peer {
    restarted: Vec<Time>,
    forgot: Vec<Time>,
    gave_up: Option<Time>,
    /// Whether it was connected from then on.
    connected: Vec<(Time, bool)>,
    dials: Vec<Time>,
    packets: Vec<Time>,
}

impl History {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A channel in one direction between two peers. Both ends may ask; the same words give the same channel.
    pub fn channel(&mut self, from: &str, to: &str, label: &str, mode: Mode) -> ChannelKey {
        let same = |it: &Channel| it.from == from && it.to == to && it.label == label && it.mode == mode;
        let place = self.channels.iter().position(same).unwrap_or_else(|| {
            self.channels.push(Channel {
                from: from.to_owned(),
                to: to.to_owned(),
                label: label.to_owned(),
                mode,
                at_least_once: false,
                seen: Vec::new(),
                stalls: Vec::new(),
            });
            self.channels.len() - 1
        });
        ChannelKey(place)
    }

    /// The channel's messages may be sent again, marked, after the receiver has lost its memory (G3).
    pub fn at_least_once(&mut self, channel: ChannelKey) {
        self.channels[channel.0].at_least_once = true;
    }

    /// The sender's side accepted a message.
    pub fn sent(&mut self, at: Time, message: MessageKey, sent: Sent) {
        let life = self.life(at, message);
        if life.sent.is_some() {
            life.sent_again.get_or_insert(at);
        } else {
            life.sent = Some((at, sent));
        }
    }

    /// The sender asked for the message back. It may then end as [`Outcome::Cancelled`], and be skipped.
    pub fn withdrawn(&mut self, at: Time, message: MessageKey) {
        self.life(at, message).withdrawn.get_or_insert(at);
    }

    /// The process that sent the message is gone, and nobody waits for its receipt any more; what its store remembers
    /// goes on. The message must still be delivered, unless something that is known explains why not (G1).
    pub fn unattended(&mut self, at: Time, message: MessageKey) {
        self.life(at, message).unattended.get_or_insert(at);
    }

    /// The sender's side wrote the message to the network, as a whole or its first part. Needed for G6 only.
    pub fn transmitted(&mut self, at: Time, message: MessageKey) {
        self.life(at, message).transmitted.push(at);
    }

    /// The receiver's side holds the message (with a store: durably), whether or not its application has it.
    /// Where this is recorded for any message of a channel, G5 asks for it before every [`received`](Self::received).
    pub fn held(&mut self, at: Time, message: MessageKey) {
        self.life(at, message).held.get_or_insert(at);
    }

    /// The sender was told that the receiver's side holds the message.
    pub fn received(&mut self, at: Time, message: MessageKey) {
        self.life(at, message).received.get_or_insert(at);
    }

    /// The receiving application took a message, and that is all it has to say about it.
    pub fn handled(&mut self, at: Time, message: MessageKey, payload: impl Into<Digest>) {
        self.handed_over(at, message, Handover::new(payload));
        self.acknowledged(at, message);
    }

    /// A message was given to the receiving application, which will acknowledge it or see it again.
    pub fn handed_over(&mut self, at: Time, message: MessageKey, handover: Handover) {
        self.life(at, message).handovers.push((at, handover));
        let first = handover.is_first();
        let MessageKey { channel, epoch, sequence } = message;
        self.channels[channel.0].seen.push(Seen::Handover { at, epoch, sequence, first });
    }

    /// The receiving application acknowledged a message.
    pub fn acknowledged(&mut self, at: Time, message: MessageKey) {
        self.life(at, message).acknowledged.get_or_insert(at);
    }

    /// The receiving application was told that these messages will not come.
    pub fn skipped(&mut self, at: Time, channel: ChannelKey, epoch: u64, sequences: RangeInclusive<u64>) {
        self.end = self.end.max(at);
        self.channels[channel.0].seen.push(Seen::Skip { at, epoch, sequences });
    }

    /// The sender was told how the message ended.
    pub fn receipt(&mut self, at: Time, message: MessageKey, outcome: Outcome) {
        self.life(at, message).receipts.push((at, outcome));
    }

    /// The receiver of a channel takes nothing from it from now on, or is busy with something large.
    pub fn stalled(&mut self, at: Time, channel: ChannelKey) {
        self.end = self.end.max(at);
        self.channels[channel.0].stalls.push((at, None));
    }

    /// The receiver of a channel takes what comes again.
    pub fn resumed(&mut self, at: Time, channel: ChannelKey) {
        self.end = self.end.max(at);
        if let Some((_, end)) = self.channels[channel.0].stalls.last_mut() {
            end.get_or_insert(at);
        }
    }

    /// A peer's process started again, with what its store remembers.
    pub fn restarted(&mut self, at: Time, peer: &str) {
        self.peer(at, peer).restarted.push(at);
    }

    /// A peer lost what it knew: what it had received, and what it still had to send.
    pub fn forgot(&mut self, at: Time, peer: &str) {
        self.peer(at, peer).forgot.push(at);
    }

    /// A peer stopped trying, as it was told to; from then on, and until it is connected again, G13 asks nothing of it.
    pub fn gave_up(&mut self, at: Time, peer: &str) {
        self.peer(at, peer).gave_up.get_or_insert(at);
    }

    /// A peer is connected, by its own account.
    pub fn connected(&mut self, at: Time, peer: &str) {
        let peer = self.peer(at, peer);
        peer.gave_up = None;
        peer.connected.push((at, true));
    }

    /// A peer is no longer connected, by its own account.
    pub fn disconnected(&mut self, at: Time, peer: &str) {
        self.peer(at, peer).connected.push((at, false));
    }

    /// A peer tried to connect.
    pub fn dialed(&mut self, at: Time, peer: &str) {
        self.peer(at, peer).dials.push(at);
    }

    /// A peer sent a packet.
    pub fn packet(&mut self, at: Time, peer: &str) {
        self.peer(at, peer).packets.push(at);
    }

    /// The network is too bad to work from now on.
    pub fn broke(&mut self, at: Time) {
        self.end = self.end.max(at);
        if self.outages.last().is_none_or(|(_, healed)| healed.is_some()) {
            self.outages.push((at, None));
        }
    }

    /// The network is good again.
    pub fn healed(&mut self, at: Time) {
        self.end = self.end.max(at);
        if let Some((_, healed)) = self.outages.last_mut() {
            healed.get_or_insert(at);
        }
    }

    /// The history was watched until then, although nothing more happened.
    pub fn ended(&mut self, at: Time) {
        self.end = self.end.max(at);
    }

    /// Holds the history against all guarantees.
    pub fn check(&self, bounds: &Bounds) -> Verdict {
        check::check(self, bounds)
    }

    fn life(&mut self, at: Time, message: MessageKey) -> &mut Life {
        self.end = self.end.max(at);
        self.messages.entry(message).or_default()
    }

    fn peer(&mut self, at: Time, name: &str) -> &mut Peer {
        self.end = self.end.max(at);
        self.peers.entry(name.to_owned()).or_default()
    }
}
