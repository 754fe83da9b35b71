//! Errors, one enum per operation, and the reasons for which a session or a message ends.
//!
//! Every message says what was wrong and what to do next. Nothing that was accepted before an error is lost
//! through it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Delivery;

/// Why a session ended, for programs. The values travel (wire rule W9) and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// An application closed the session in an orderly way.
    Normal,
    /// The peer broke the protocol.
    ProtocolViolation,
    /// Another link or another copy of this session took over.
    Superseded,
    /// The session was without a connection for longer than it is kept.
    Expired,
    /// The acceptor's authorisation, or its application, said no.
    Unauthorized,
    /// A limit of the acceptor is reached; later may be better.
    Busy,
    /// The proof for the session is wrong, or it belongs to another identity.
    WrongProof,
    /// No protocol version in common.
    VersionMismatch,
    /// The peer's QUIC cannot carry DATAGRAM frames.
    NoDatagrams,
    /// The last handle was dropped without closing.
    Dropped,
    /// This side's store failed, so that nothing more can be promised.
    StoreFailed,
    /// The peer could not be reached.
    Unreachable,
    /// The link makes room for another one of the same session; not the end of the session.
    Reattach,
    /// A code this version does not know.
    Other(u32),
}

impl CloseCode {
    /// The number that travels.
    pub const fn value(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::ProtocolViolation => 1,
            Self::Superseded => 2,
            Self::Expired => 3,
            Self::Unauthorized => 4,
            Self::Busy => 5,
            Self::WrongProof => 6,
            Self::VersionMismatch => 7,
            Self::NoDatagrams => 8,
            Self::Dropped => 9,
            Self::StoreFailed => 10,
            Self::Reattach => 11,
            Self::Unreachable => 12,
            Self::Other(value) => value,
        }
    }

    /// The code with this number.
    pub const fn from_value(value: u32) -> Self {
        match value {
            0 => Self::Normal,
            1 => Self::ProtocolViolation,
            2 => Self::Superseded,
            3 => Self::Expired,
            4 => Self::Unauthorized,
            5 => Self::Busy,
            6 => Self::WrongProof,
            7 => Self::VersionMismatch,
            8 => Self::NoDatagrams,
            9 => Self::Dropped,
            10 => Self::StoreFailed,
            11 => Self::Reattach,
            12 => Self::Unreachable,
            other => Self::Other(other),
        }
    }
}

/// Which side ended something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This one.
    Local,
    /// The peer.
    Remote,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// Why, for programs.
    pub code: CloseCode,
    /// Who ended it.
    pub side: Side,
    /// Both sides know, and everything accepted before had its outcome.
    pub clean: bool,
    /// Whether a new session to the same peer may succeed.
    pub retry: bool,
    /// Why, for people. From the peer when `side` is remote: untrusted text.
    pub reason: String,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Local => "this side",
            Side::Remote => "the peer",
        };
        write!(f, "closed by {side}: {:?}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason.escape_debug())?;
        }
        Ok(())
    }
}

/// What became of a message: each accepted message ends in exactly one of these (guarantee G8).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The peer's application took it (`recv`) or acknowledged it (`recv_unacked`).
    Handled,
    /// The peer's application, or its session on its behalf, refused it. The reason is the peer's: untrusted text.
    Rejected {
        /// Why, at most 256 bytes.
        reason: String,
    },
    /// Its deadline passed before the peer's application had it. It was not handled.
    Expired,
    /// A newer message took its place ([`ReliableLatest`](Delivery::ReliableLatest)). It was not handled.
    Superseded,
    /// It was withdrawn ([`Receipt::cancel`](crate::Receipt::cancel)) before the peer's application had it. It was not handled.
    Cancelled,
    /// The outbox was full, and this was the oldest ([`WhenFull::DropOldest`](crate::WhenFull::DropOldest)). It was not
    /// handled.
    Dropped,
    /// It may or may not have been handled: the peer lost its memory, or the session ended first; or the channel is
    /// unreliable and the message was given to the network, from where no word comes back.
    Unknown,
}

/// Why a message was not handled: every [`Outcome`] but `Handled`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// See [`Outcome::Rejected`].
    #[error("the peer rejected the message: {}", reason.escape_debug())]
    Rejected {
        /// The peer's words: untrusted text.
        reason: String,
    },
    /// See [`Outcome::Expired`].
    #[error(
        "the message's deadline passed before it was handled: send it again if it still matters, or give it more time"
    )]
    Expired,
    /// See [`Outcome::Superseded`].
    #[error("a newer message took its place")]
    Superseded,
    /// See [`Outcome::Cancelled`].
    #[error("the message was withdrawn before it was handled")]
    Cancelled,
    /// See [`Outcome::Dropped`].
    #[error(
        "the outbox was full and dropped the message as the oldest: send less, or give the channel a larger outbox"
    )]
    Dropped,
    /// See [`Outcome::Unknown`].
    #[error(
        "whether the message was handled is unknown: the peer lost its state, the session ended, or the channel is unreliable; ask the peer before sending it again"
    )]
    Unknown,
}

impl Outcome {
    /// `Ok` for `Handled`, else the error that says why not.
    pub fn into_result(self) -> Result<(), DeliveryError> {
        match self {
            Self::Handled => Ok(()),
            Self::Rejected { reason } => Err(DeliveryError::Rejected { reason }),
            Self::Expired => Err(DeliveryError::Expired),
            Self::Superseded => Err(DeliveryError::Superseded),
            Self::Cancelled => Err(DeliveryError::Cancelled),
            Self::Dropped => Err(DeliveryError::Dropped),
            Self::Unknown => Err(DeliveryError::Unknown),
        }
    }
}

/// Why a message was not accepted. Nothing was queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The payload is larger than this side or the peer allows.
    #[error(
        "message of {size} bytes is over the limit of {limit} bytes: split it, or raise `max_message_size` on both sides"
    )]
    TooLarge {
        /// Bytes of the payload.
        size: usize,
        /// The smaller of both sides' limits, in bytes.
        limit: usize,
    },
    /// The payload is larger than an unreliable message may be.
    #[error(
        "message of {size} bytes on a {delivery} channel, at most {limit} are carried without retransmission: send it on a reliable channel"
    )]
    TooLargeUnreliable {
        /// Bytes of the payload.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
        /// The mode.
        delivery: Delivery,
    },
    /// The message's life would be over before it began.
    #[error("the message's deadline is not in the future: give it more time, or do not send it")]
    DeadlinePassed,
    /// The outbox of the channel is full (with `try_send`, or with [`WhenFull::Error`](crate::WhenFull::Error)).
    #[error(
        "the channel's outbox is full ({messages} messages, {bytes} bytes): try later, or use `send` with `WhenFull::Wait`"
    )]
    Full {
        /// Messages held.
        messages: usize,
        /// Payload bytes held.
        bytes: usize,
    },
    /// The sending side of the channel was finished.
    #[error("the channel was finished on this side: open another label")]
    Finished,
    /// The peer does not take messages of this channel.
    #[error("the peer refuses this channel: {}", reason.escape_debug())]
    Refused {
        /// The peer's words: untrusted text.
        reason: String,
    },
    /// The session is over.
    #[error("the session is over ({0}): connect again")]
    Closed(CloseReason),
}

/// Why a message's deadline could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtendError {
    /// The message is over.
    #[error("the message is over already ({0:?}): send another one")]
    Over(Outcome),
    /// Its deadline has passed, or it was withdrawn or superseded; its receipt will tell whether it was handled before.
    #[error("the message is not kept any more: its receipt will tell whether it was handled in time")]
    TooLate,
    /// The new deadline is not in the future.
    #[error("the new deadline is not in the future: use `cancel` to end a message at once")]
    DeadlinePassed,
}

/// Why a channel could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The label is longer than 255 bytes.
    #[error("channel label of {size} bytes is too long: at most {limit} bytes of UTF-8")]
    LabelTooLong {
        /// Bytes of the label.
        size: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// The label is empty.
    #[error("a channel needs a label of 1 to 255 bytes of UTF-8")]
    LabelEmpty,
    /// This side has the label open already.
    #[error("channel {0:?} is open already on this side: keep using its handles, or finish it first")]
    AlreadyOpen(String),
    /// The peer sends on this label in another mode than this side expects.
    #[error(
        "the peer sends on channel {label:?} as {found}, this side expects {expected}: agree on one mode"
    )]
    ChannelMismatch {
        /// The label.
        label: String,
        /// What this side's configuration expects.
        expected: Delivery,
        /// What the peer announced.
        found: String,
    },
    /// As many channels are open as this side's or the peer's limit allows.
    #[error("{open} channels are open, the limit is {limit}: finish one, or raise `max_channels`")]
    TooMany {
        /// Channels open.
        open: usize,
        /// The limit.
        limit: usize,
    },
    /// A value of the channel's configuration contradicts another or is out of range.
    #[error("channel configuration: {0}")]
    Config(#[from] ConfigError),
    /// The session is over.
    #[error("the session is over ({0}): connect again")]
    Closed(CloseReason),
}

/// A configuration value that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{knob}` is {found}: {wanted}")]
pub struct ConfigError {
    /// The setter's name, and which of its values if it has several.
    pub knob: &'static str,
    /// The value given.
    pub found: String,
    /// What it may be.
    pub wanted: String,
}

/// Why an endpoint could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The operating system would not give the socket.
    #[error("cannot bind UDP {addr}: {source}{}", bind_advice(source))]
    Socket {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// A configuration value cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity or the trust in clients cannot be used for TLS.
    #[error("TLS configuration: {0}")]
    Tls(String),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness ({0}): give a seed to `Endpoint::with_parts`")]
    NoRandomness(String),
    /// There is no async runtime to run on.
    #[error("no tokio runtime is running here: call this from within one, or use `with_parts`")]
    NoRuntime,
}

fn bind_advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            " (another program listens there: choose another port, or 0 for any free one)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need privileges)",
        _ => "",
    }
}

/// Why a session could not be made by dialing. No session exists on this side; if the peer made one, it expires.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The target is not `host:port` or an address.
    #[error("{target:?} is not `host:port`: {problem}")]
    BadTarget {
        /// As given.
        target: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The name has no address.
    #[error("cannot resolve {host:?}: {source}")]
    Unresolvable {
        /// The name.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
    /// No address answered in time.
    #[error("no answer from {addrs:?} within {waited:?}: is it listening there, and does UDP get through?")]
    Unreachable {
        /// The addresses tried.
        addrs: Vec<SocketAddr>,
        /// How long.
        waited: Duration,
    },
    /// The local socket would not send there.
    #[error("cannot send to {addr}: {source}")]
    Socket {
        /// The remote address.
        addr: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// The peer has another key than the one pinned.
    #[error(
        "wrong fingerprint: expected {expected}, the peer presented {presented}: either this is not the peer you mean, or its key has changed"
    )]
    WrongFingerprint {
        /// The pinned fingerprint(s).
        expected: String,
        /// The peer's.
        presented: String,
    },
    /// TLS failed otherwise.
    #[error("TLS handshake with {addr} failed: {reason}")]
    Tls {
        /// The remote address.
        addr: SocketAddr,
        /// What rustls or the peer said.
        reason: String,
    },
    /// The peer speaks QUIC, but not this protocol.
    #[error(
        "{addr} does not speak {}: another program, or an incompatible version of Bowline",
        String::from_utf8_lossy(crate::wire::ALPN)
    )]
    WrongProtocol {
        /// The remote address.
        addr: SocketAddr,
    },
    /// The application's callback gave no credentials.
    #[error("no credentials for the peer: {reason}")]
    Credentials {
        /// The callback's words.
        reason: String,
    },
    /// The peer has no DATAGRAM support, which heartbeats need.
    #[error("{addr} does not support QUIC DATAGRAM frames (RFC 9221), which Bowline's heartbeat needs")]
    NoDatagrams {
        /// The remote address.
        addr: SocketAddr,
    },
    /// The peer refused the session.
    #[error("refused: {0}")]
    Refused(CloseReason),
    /// The peer broke the protocol, or went away, during the first exchange.
    #[error("the connection to {addr} failed before the session was made: {reason}")]
    Failed {
        /// The remote address.
        addr: SocketAddr,
        /// What happened.
        reason: String,
    },
    /// A configuration value cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The remembered session was brought back to life already.
    #[error("the session lives already: use the handles that there are")]
    AlreadyConnected,
    /// The endpoint was closed.
    #[error("the endpoint is closed: bind another")]
    EndpointClosed,
}

/// Why an incoming session came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The dialer went away, or did not confirm in time. It may come again.
    #[error("the dialer left before the session was made: {0}")]
    Abandoned(String),
    /// The endpoint was closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}
