//! CONTRACT STUB.
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::types::*;
use crate::config::{ChannelConfig, Delivery};
use crate::error::*;
use crate::id::*;
use crate::wire::{Frame, Health};

/// One session's protocol state. Pure: see the module documentation.
pub struct Machine {}

impl Machine {
    /// A new session; a dialer wants its first link at once (`Output::Dial` with attempt 0).
    pub fn new(_setup: Setup, _now: Instant) -> Self {
        unimplemented!()
    }

    // ---- links ----
    /// A connection's handshake is complete. A dialer answers with a Hello on it.
    pub fn handle_link_up(&mut self, _link: LinkId, _info: LinkInfo, _now: Instant) {
        unimplemented!()
    }
    /// A frame arrived. Data must be fed only while `readiness` is `Ready`.
    pub fn handle_frame(&mut self, _link: LinkId, _frame: Frame, _now: Instant) {
        unimplemented!()
    }
    /// The link is unusable: bytes on it could not be parsed. Closes it as a protocol violation.
    pub fn handle_violation(&mut self, _link: LinkId, _what: String, _now: Instant) {
        unimplemented!()
    }
    /// The connection is gone.
    pub fn handle_link_down(&mut self, _link: LinkId, _end: LinkEnd, _now: Instant) {
        unimplemented!()
    }
    /// The dial asked for came to nothing. `permanent` if trying again cannot help (the reason is then the session's end).
    pub fn handle_dial_failed(&mut self, _reason: String, _now: Instant) {
        unimplemented!()
    }
    /// The peer's address of this link changed (reported to the application as an event).
    pub fn handle_path_changed(&mut self, _link: LinkId, _remote: std::net::SocketAddr, _now: Instant) {
        unimplemented!()
    }
    /// Transport figures of a link; call for each attached link right before `handle_timeout`.
    pub fn handle_link_sample(&mut self, _link: LinkId, _sample: LinkSample, _now: Instant) {
        unimplemented!()
    }
    /// The link can take this many more bytes of channel data (adds up). Control frames and heartbeats need no room.
    pub fn handle_link_room(&mut self, _link: LinkId, _bytes: usize) {
        unimplemented!()
    }
    /// May data of this channel be fed?
    pub fn readiness(&self, _link: LinkId, _channel: ChannelId) -> Readiness {
        unimplemented!()
    }

    // ---- time, store ----
    /// The time that `Output::Wait` named has come (calling it early is harmless).
    pub fn handle_timeout(&mut self, _now: Instant) {
        unimplemented!()
    }
    /// Batch `number` and all before it are durable.
    pub fn handle_journaled(&mut self, _number: u64, _now: Instant) {
        unimplemented!()
    }

    // ---- application ----
    /// Opens a label on this side.
    pub fn open(
        &mut self,
        _label: &str,
        _config: ChannelConfig,
        _now: Instant,
    ) -> Result<ChannelKey, OpenError> {
        unimplemented!()
    }
    /// Accepts a message: numbered, room taken in the outbox. `Err(SendError::Full)` when there is no room.
    /// The u64 is the journal batch after which it is durable (0 without a journal).
    pub fn send(
        &mut self,
        _channel: ChannelKey,
        _payload: Bytes,
        _now: Instant,
    ) -> Result<Accepted, SendError> {
        unimplemented!()
    }
    /// How far a message sent on this channel has come.
    pub fn progress(&self, _channel: ChannelKey, _epoch: Epoch, _sequence: Sequence) -> Progress {
        unimplemented!()
    }
    /// The next message, handed over and acknowledged at once. `None`: nothing now, see `inbox_end`.
    pub fn recv(&mut self, _channel: ChannelKey, _now: Instant) -> Option<Delivered> {
        unimplemented!()
    }
    /// The next message, to be ended by `ack`, `reject` or `release`. `None`: nothing now, see `inbox_end`.
    pub fn recv_unacked(&mut self, _channel: ChannelKey, _now: Instant) -> Option<Delivered> {
        unimplemented!()
    }
    /// The application is done with it.
    pub fn ack(&mut self, _channel: ChannelKey, _epoch: Epoch, _sequence: Sequence, _now: Instant) {
        unimplemented!()
    }
    /// The application refuses it.
    pub fn reject(
        &mut self,
        _channel: ChannelKey,
        _epoch: Epoch,
        _sequence: Sequence,
        _reason: &str,
        _now: Instant,
    ) {
        unimplemented!()
    }
    /// The application dropped it without a word: it comes again (rule R2).
    pub fn release(&mut self, _channel: ChannelKey, _epoch: Epoch, _sequence: Sequence, _now: Instant) {
        unimplemented!()
    }
    /// `Some` once nothing will ever come again on this channel.
    pub fn inbox_end(&self, _channel: ChannelKey) -> Option<InboxEnd> {
        unimplemented!()
    }
    /// No more sends on this channel; what was accepted is still delivered, then the peer's inbox ends.
    pub fn finish(&mut self, _channel: ChannelKey, _now: Instant) {
        unimplemented!()
    }
    /// The application takes no more messages of this channel: what is untaken, and what still comes, is rejected with this reason.
    pub fn refuse(&mut self, _channel: ChannelKey, _reason: &str, _now: Instant) {
        unimplemented!()
    }
    /// The next label that the peer opened and this side has not; each is given once.
    pub fn next_incoming(&mut self) -> Option<(String, Delivery)> {
        unimplemented!()
    }
    /// Ends the session: flushes for at most `drain`, then tells the peer.
    pub fn close(&mut self, _code: CloseCode, _reason: &str, _drain: Duration, _now: Instant) {
        unimplemented!()
    }
    /// Tries to reach the peer now, whatever the policy says (dialer).
    pub fn reconnect(&mut self, _now: Instant) {
        unimplemented!()
    }
    /// What the application says of itself; `Stalled` is found out by the machine.
    pub fn set_health(&mut self, _health: Health, _now: Instant) {
        unimplemented!()
    }

    // ---- questions ----
    /// The session's state.
    pub fn state(&self) -> SessionState {
        unimplemented!()
    }
    /// For an acceptor: the dialer has confirmed the Welcome (rule S1).
    pub fn is_confirmed(&self) -> bool {
        unimplemented!()
    }
    /// The link attached now.
    pub fn attached(&self) -> Option<LinkId> {
        unimplemented!()
    }
    /// This side's epoch.
    pub fn epoch(&self) -> Epoch {
        unimplemented!()
    }
    /// A snapshot.
    pub fn stats(&self) -> SessionStats {
        unimplemented!()
    }
    /// A snapshot; `None` for a channel that is gone.
    pub fn channel_stats(&self, _channel: ChannelKey) -> Option<ChannelStats> {
        unimplemented!()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, _now: Instant) -> Output {
        unimplemented!()
    }
}

/// A message was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name.
    pub id: MessageId,
    /// The journal batch that makes it durable; 0 without a journal. `send` resolves once `durable()` has reached it.
    pub batch: u64,
}

/// Why nothing more comes from an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboxEnd {
    /// The peer finished its side.
    Finished,
    /// This side refused the channel (closed the inbox, or the peer's mode is not the one expected).
    Refused(String),
    /// The session is over.
    Closed(CloseReason),
}
