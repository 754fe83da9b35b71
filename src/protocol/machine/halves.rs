//! The two halves of a channel: what this side sends on it, and what the peer has said of what it sends.

use crate::config::Delivery;
use crate::error::Outcome;
use crate::id::{ChannelId, Sequence};
use crate::protocol::outbox::Outbox;
use crate::protocol::types::Window;

use super::ready::Share;

/// This side's half.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) id: ChannelId,
    pub(super) outbox: Outbox,
    /// What the peer grants.
    pub(super) window: Window,
    /// On the attached link it is known what the peer has.
    pub(super) synced: bool,
    /// On the attached link the peer has spoken of the channel.
    pub(super) heard: bool,
    /// What it gets of the link's time.
    pub(super) share: Share,
    /// Numbers below this are reserved in the journal, from this batch on: those of unreliable messages.
    pub(super) reserved: (Sequence, u64),
    pub(super) finished: bool,
    /// The peer said that it has everything to the end.
    pub(super) peer_ended: bool,
    /// The peer has forgotten the channel: it was through with both directions.
    pub(super) peer_forgot: bool,
    /// Why the peer takes nothing more.
    pub(super) refused: Option<String>,
    pub(super) told_floor: Sequence,
    /// On the attached link the peer was told the end.
    pub(super) told_end: bool,
    /// Messages below were given up while the peer may still hold them in its window: nothing is written until it has
    /// heard that floor, because data may overtake the word of it.
    pub(super) unheard: Option<Sequence>,
    /// What is to be told of it waits for this journal batch (rule R4).
    pub(super) hold: u64,
}

/// The peer's half.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) id: ChannelId,
    pub(super) delivery: Result<Delivery, i32>,
    pub(super) end: Option<Sequence>,
    /// The peer was told that this side has everything to the end.
    pub(super) told_ended: bool,
    /// The window that the peer was told.
    pub(super) told_window: Window,
    /// The mode is not the one that this side expects.
    pub(super) mismatch: Option<String>,
    /// The peer has named it on the attached link: it has not forgotten it.
    pub(super) named: bool,
    /// That the peer announced it, and its end, is in this journal batch: that nothing more is awaited is not said before
    /// (rule R4).
    pub(super) hold: u64,
}

impl Remote {
    pub(super) fn new(id: ChannelId, delivery: Result<Delivery, i32>, end: Option<Sequence>) -> Self {
        let (told_ended, told_window) = (false, Window::INITIAL);
        Self { id, delivery, end, told_ended, told_window, mismatch: None, named: false, hold: 0 }
    }

    /// Whether the word that nothing more is awaited waited for the journal `before`, and does so no more.
    pub(super) fn is_settled(&self, before: u64, durable: u64) -> bool {
        self.end.is_some() && before < self.hold && self.hold <= durable
    }
}

impl Local {
    pub(super) fn new(id: ChannelId, outbox: Outbox) -> Self {
        Self {
            id,
            outbox,
            window: Window::INITIAL,
            synced: false,
            heard: false,
            share: Share::default(),
            reserved: (0, 0),
            finished: false,
            peer_ended: false,
            peer_forgot: false,
            refused: None,
            told_floor: 0,
            told_end: false,
            unheard: None,
            hold: 0,
        }
    }

    /// This side begins a new epoch: numbers start anew, and of what was sent nothing is known. Returns the outbox of the
    /// old one, in which everything is over, and how many messages it held.
    pub(super) fn restart(&mut self) -> (Outbox, u64) {
        let unknown = self.outbox.resolve(self.outbox.floor(), self.outbox.next(), &Outcome::Unknown);
        let renewed = self.outbox.renewed();
        let before = std::mem::replace(&mut self.outbox, renewed);
        (self.window, self.synced, self.told_floor) = (Window::INITIAL, false, 0);
        (self.heard, self.told_end, self.reserved) = (false, false, (0, 0));
        self.unheard = None;
        (self.peer_ended, self.peer_forgot) = (false, false);
        self.refused = None;
        (before, unknown)
    }

    /// The peer has forgotten this side's lane, and what it sends now belongs to another channel of the label: of that one
    /// this side, which has finished, has a lane with another number and nothing on it. Receipts stay with its outbox.
    pub(super) fn renew(&mut self, id: ChannelId) {
        (self.id, self.window, self.synced, self.heard) = (id, Window::INITIAL, true, false);
        (self.peer_ended, self.peer_forgot, self.refused) = (false, false, None);
        (self.told_floor, self.told_end, self.unheard) = (0, false, None);
    }

    /// One past the last sequence, once there are no more. Of an unreliable lane only when all have left: its peer waits for
    /// none.
    pub(super) fn end(&self) -> Option<Sequence> {
        let left = self.outbox.mode().is_reliable() || self.outbox.held().messages == 0;
        (self.finished && left).then(|| self.outbox.next())
    }

    /// Whether the peer is to be told of messages that do not come. While it is not known where its window begins it is
    /// told of none.
    pub(super) fn has_skips_to_tell(&self) -> bool {
        self.outbox.has_extensions_to_tell()
            || self.synced && self.outbox.has_skips_to_tell(self.window.messages)
    }

    /// At most `limit` ranges of them.
    pub(super) fn tell_skipped(&mut self, limit: usize) -> Vec<(Sequence, Sequence)> {
        if self.synced { self.outbox.tell_skipped(self.window.messages, limit) } else { Vec::new() }
    }

    /// Nothing more will ever be sent, the peer knows it has it all, and needs to be told nothing more.
    pub(super) fn is_over(&self) -> bool {
        self.finished
            && self.peer_ended
            && self.outbox.held().messages == 0
            && (self.peer_forgot || !self.outbox.owes_floor(self.told_floor))
    }
}
