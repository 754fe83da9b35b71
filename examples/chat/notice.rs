//! What a conversation tells whoever shows it. Every text in here is clean already.

use std::net::SocketAddr;
use std::time::Duration;

use bowline::Health;
use bowline::error::{CloseReason, Outcome};
use bowline::id::MessageId;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A peer can dial now, with this program.
    Listening { addr: SocketAddr, fingerprint: String, program: String },
    /// The conversation has a connection, its first or, if `resumed`, another one that lost nothing.
    Connected { peer: String, resumed: bool },
    /// What was typed has a number, and its fate will be told.
    Accepted { id: MessageId, text: String },
    /// The peer's session holds it: one tick.
    Received { id: MessageId },
    /// What became of it: two ticks if it was handled.
    Ended { id: MessageId, outcome: Outcome },
    /// The peer said something.
    Message { id: MessageId, from: String, text: String },
    /// The peer introduced itself, or is about to leave.
    Presence { name: String, presence: Presence },
    /// The peer has begun or stopped writing.
    Typing { active: bool },
    /// The peer does not answer as it should.
    Suspect,
    /// It was nothing.
    Recovered,
    /// The program behind the peer does not take messages, or says that it is busy or about to leave, or is well again.
    Service(Health),
    /// The connection is lost, and will be dialed again.
    Reconnecting { attempt: u32, after: Duration },
    /// The peer is not there; it has to come back by itself.
    Offline { pending: u64 },
    /// No more dialing, until asked.
    GaveUp,
    /// The peer's address has changed under the connection.
    PathChanged { remote: SocketAddr },
    /// The peer is back and has forgotten the conversation.
    Reset { undelivered: u64 },
    /// Advice for a person; programs are not bothered with it.
    Hint(String),
    /// Something that cannot be done; the conversation goes on.
    Problem(String),
    /// The conversation is over; nothing follows.
    Closed(CloseReason),
}

/// Whether the peer will answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Available,
    Away,
    Leaving,
}

/// The beginning of a fingerprint: enough to tell two peers apart, not to trust one.
pub(crate) fn short(fingerprint: &str) -> &str {
    let digits = fingerprint.strip_prefix("sha256:").unwrap_or(fingerprint);
    digits.get(..8).unwrap_or(digits)
}
