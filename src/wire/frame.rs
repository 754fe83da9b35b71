//! Frames: what two sessions say to each other, already parsed. The bytes are the business of the codecs
//! beside this file; everything above them sees only these types, so an impossible value never gets further.

use bytes::Bytes;

use crate::config::Delivery;
use crate::id::{ChannelId, Epoch, Sequence, SessionId};

/// One thing said on a link, whichever stream or datagram carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// On the control stream, in order.
    Control(Control),
    /// A whole message, see [`Carrier`].
    Data(Data),
    /// A piece of a message that does not travel whole.
    Body(Body),
    /// A datagram of exactly one byte.
    Heartbeat(Heartbeat),
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The sender's channel.
    pub channel: ChannelId,
    /// The number of the message.
    pub sequence: Sequence,
    /// The sender cannot exclude that a former incarnation of the receiver had it already.
    pub redelivered: bool,
    /// When it is worth nothing any more.
    pub deadline: Option<Deadline>,
    /// How it travels.
    pub carrier: Carrier,
    /// The application's bytes.
    pub payload: Bytes,
}

/// How a message travels. The sender chooses, within what its mode allows (rule C1): sequences alone say what a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// On the stream of its lane, behind the messages before it.
    #[default]
    Lane,
    /// On a stream that ends after it, alone or with others that fit one packet: nothing waits for it.
    Stream,
    /// In a datagram, with others of its lane that fit: it may get lost. If it does not fit any more, as [`Stream`](Self::Stream).
    Datagram,
    /// In a datagram, or in several if it does not fit one: for messages that nobody sends again.
    Fragments,
}

/// The end of a message's life, on its sender's clock (rule T1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When this was written, in milliseconds of the sender's clock, whatever that counts from.
    pub sent_ms: u64,
    /// Milliseconds that were left then.
    pub left_ms: u64,
}

/// A piece of a message: of a large one on a stream of its own, or of one that is larger than a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The sender's channel.
    pub channel: ChannelId,
    /// The number of the message.
    pub sequence: Sequence,
    /// See [`Data::redelivered`].
    pub redelivered: bool,
    /// See [`Data::deadline`].
    pub deadline: Option<Deadline>,
    /// A stream of its own, or a datagram: never [`Carrier::Lane`].
    pub carrier: Carrier,
    /// Bytes of the whole message.
    pub size: u64,
    /// Where in the message these bytes belong.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// A frame of the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The dialer attaches this link to a session.
    Hello(Box<Hello>),
    /// The acceptor took the link.
    Welcome(Welcome),
    /// The dialer has the Welcome.
    Confirm(Confirm),
    /// The Hello needs another try on the same link.
    Retry(Retry),
    /// The Hello is refused.
    Refuse(Refuse),
    /// The sender's side of channels.
    Sending(Sending),
    /// The receiver's side of channels.
    Receiving(Receiving),
    /// The session is over.
    Close(Close),
    /// The Close was understood.
    CloseAck,
    /// Whether the dialer's process is about to be stopped.
    Presence {
        /// It is, and will not be heard until it says otherwise.
        away: bool,
    },
    /// The dialer wants to know whether it can be reached after a silence (rule H6).
    Probe(Probe),
    /// The silence is over.
    ProbeAnswer,
    /// The acceptor sees the dialer at another address.
    AddressSeen(AddressSeen),
}

impl Control {
    /// The name of the frame in the specification.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Welcome(_) => "Welcome",
            Self::Confirm(_) => "Confirm",
            Self::Retry(_) => "Retry",
            Self::Refuse(_) => "Refuse",
            Self::Sending(_) => "Sending",
            Self::Receiving(_) => "Receiving",
            Self::Close(_) => "Close",
            Self::CloseAck => "CloseAck",
            Self::Presence { .. } => "Presence",
            Self::Probe(_) => "Probe",
            Self::ProbeAnswer => "ProbeAnswer",
            Self::AddressSeen(_) => "AddressSeen",
        }
    }
}

/// See [`Control::Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How long to wait with the answer, at most [`MAX_PROBE_MS`](crate::wire::MAX_PROBE_MS).
    pub answer_after_ms: u64,
}

/// See [`Control::AddressSeen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressSeen {
    /// How often the address has changed on this link.
    pub changes: u64,
}

/// A 256-bit session secret. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a peer lets the other make it keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Largest payload it takes, in bytes.
    pub max_message_size: u64,
    /// Channels that the other side may have open at once.
    pub max_channels: u32,
}

/// See [`Control::Hello`]. Neither secret nor credentials nor proof are ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Lowest protocol version the dialer speaks.
    pub version_min: u32,
    /// Highest protocol version the dialer speaks.
    pub version_max: u32,
    /// The session to attach to.
    pub session: SessionId,
    /// Present while the acceptor may not know the session.
    pub secret: Option<Secret>,
    /// The dialer's own epoch.
    pub epoch: Epoch,
    /// The acceptor's epoch as the dialer knows it.
    pub peer_epoch: Option<Epoch>,
    /// Attach counter.
    pub counter: u64,
    /// Proof of the secret, bound to this connection and counter.
    pub proof: [u8; 32],
    /// The dialer's limits.
    pub limits: PeerLimits,
    /// Application credentials, at most [`MAX_CREDENTIALS`](crate::wire::MAX_CREDENTIALS) bytes.
    pub credentials: Bytes,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("versions", &(self.version_min..=self.version_max))
            .field("session", &self.session)
            .field("epoch", &self.epoch)
            .field("peer_epoch", &self.peer_epoch)
            .field("counter", &self.counter)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// See [`Control::Welcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version in force.
    pub version: u32,
    /// The acceptor's own epoch.
    pub epoch: Epoch,
    /// The counter of the Hello it answers.
    pub counter: u64,
    /// The acceptor's limits.
    pub limits: PeerLimits,
    /// The acceptor's receive state survives a restart (rule R3).
    pub durable: bool,
}

/// See [`Control::Confirm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The counter of the Welcome.
    pub counter: u64,
    /// The dialer's receive state survives a restart (rule R3).
    pub durable: bool,
}

/// See [`Control::Retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The counter was used before; this is the highest that was.
    Stale(u64),
    /// The session is not known here; send the secret to create it again.
    Forgotten,
}

/// See [`Control::Refuse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// Why, for programs: a [`CloseCode`](crate::error::CloseCode) value.
    pub code: u32,
    /// Why, for people.
    pub reason: String,
    /// Whether the same Hello may succeed later.
    pub retry: bool,
}

/// What a sender says of its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The epoch of the side that speaks.
    pub epoch: Epoch,
    /// What the clock of [`Deadline::sent_ms`] shows now.
    pub clock_ms: u64,
    /// One entry a channel.
    pub lanes: Vec<SendingLane>,
}

/// One channel of [`Sending`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingLane {
    /// The sender's id of the channel.
    pub channel: ChannelId,
    /// The label under which both sides meet.
    pub label: String,
    /// The mode, or the number of one that this version does not know.
    pub delivery: Result<Delivery, i32>,
    /// Everything below is resolved.
    pub floor: Sequence,
    /// One past the last sequence, once the sender has finished.
    pub end: Option<Sequence>,
    /// Not below the floor, and not sent (again): half-open ranges, ascending.
    pub skipped: Vec<(Sequence, Sequence)>,
    /// Messages whose deadline has changed since they were written.
    pub extended: Vec<Extension>,
}

/// Another deadline for a message that was written already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Which.
    pub sequence: Sequence,
    /// Milliseconds left, from [`Sending::clock_ms`] on; `None`: it lives for ever.
    pub left_ms: Option<u64>,
}

/// What a receiver says of the other side's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiving {
    /// The epoch whose numbers these are.
    pub epoch: Epoch,
    /// One entry a channel.
    pub lanes: Vec<ReceivingLane>,
}

/// One channel of [`Receiving`]. Ranges are half-open `(start, end)`, ascending, not touching, above their
/// `_below`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivingLane {
    /// The sender's id of the channel.
    pub channel: ChannelId,
    /// Everything below is held by the receiving session.
    pub received_below: Sequence,
    /// Held, above that.
    pub received: Vec<(Sequence, Sequence)>,
    /// Everything below is resolved by the receiving application.
    pub handled_below: Sequence,
    /// Resolved, above that.
    pub handled: Vec<(Sequence, Sequence)>,
    /// Resolved otherwise than handled.
    pub verdicts: Vec<Verdict>,
    /// How many messages above the sender's floor may be on their way or untaken.
    pub window_messages: u64,
    /// How many payload bytes of them, large messages not counted.
    pub window_bytes: u64,
    /// How many bytes of large messages.
    pub window_large: u64,
    /// Large messages that are here in part: sequence, and how many of their first bytes.
    pub partial: Vec<(Sequence, u64)>,
    /// The receiver takes no (more) messages of this channel.
    pub refused: Option<String>,
    /// The receiver knows the end of the channel, and everything below it is resolved.
    pub ended: bool,
}

impl ReceivingLane {
    /// Leaves out what it says of messages.
    pub fn forget_messages(&mut self) {
        (self.received_below, self.handled_below) = (0, 0);
        self.received.clear();
        self.handled.clear();
        self.verdicts.clear();
        self.partial.clear();
    }
}

/// Messages that are over, and were not handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The first.
    pub start: Sequence,
    /// One past the last.
    pub end: Sequence,
    /// Why.
    pub why: Why,
}

/// Why a message was not handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The receiving application, or its session for it, said no, for this reason.
    Rejected(String),
    /// It came, or would have been handed over, after its deadline.
    Expired,
    /// A newer message of the lane took its place.
    Superseded,
    /// It had not come when the sender said that it was skipped.
    Skipped,
}

/// See [`Control::Close`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// A [`CloseCode`](crate::error::CloseCode) value.
    pub code: u32,
    /// Why, for people.
    pub reason: String,
}

/// One byte that proves life (rule H1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Beat or answer. Answers are never answered.
    pub kind: BeatKind,
    /// An answer carries the parity of its beat.
    pub parity: bool,
    /// Health of the service behind the speaker.
    pub health: Health,
    /// Index into [`INTERVALS_S`](crate::wire::heartbeat::INTERVALS_S): when the next beat comes (the lease).
    pub interval: u8,
}

/// The direction of a [`Heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatKind {
    /// Asks for an answer.
    Beat,
    /// Answers.
    Answer,
}

/// Whether the application behind a peer takes its messages (rule H8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It does.
    #[default]
    Serving,
    /// Delivered messages have stayed untaken for 5 s.
    Stalled,
    /// The application says that it is busy.
    Busy,
    /// The application says that it is about to leave.
    Draining,
}
