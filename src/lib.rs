//! Bowline holds a conversation between two programs together over UDP.
//!
//! Every message is numbered, acknowledged, deduplicated and delivered in order, through packet loss, reordering, NAT
//! rebinding, NAT timeouts, network switches and dead connections; and Bowline tells the truth about every single
//! message. It is a layer on QUIC ([quinn]): QUIC is reliable for as long as a connection lives, Bowline's [`Session`]
//! outlives its connections.
//!
//! # Dial and accept
//!
//! ```
//! use bowline::{ChannelConfig, Config, Delivery, Endpoint, Identity, Trust};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Accept: a new session, and everything that comes on its channel "chat".
//! let listener = Endpoint::bind(([127, 0, 0, 1], 0), Identity::generate()?, Config::default())?;
//! let (addr, fingerprint) = (listener.local_addr()?, listener.fingerprint());
//! tokio::spawn(async move {
//!     let session = listener.accept().await?.accept().await.ok()?;
//!     let (_chat, mut inbox) = session.open("chat", ChannelConfig::new(Delivery::ReliableOrdered)).await.ok()?;
//!     while let Some(message) = inbox.recv().await {
//!         println!("{}", String::from_utf8_lossy(message.payload()));
//!     }
//!     Some(())
//! });
//!
//! // Dial: the peer must hold the key with this fingerprint.
//! let endpoint = Endpoint::client(Identity::generate()?, Config::default())?;
//! let session = endpoint.connect(addr, Trust::fingerprint(fingerprint)).await?;
//! let (chat, _inbox) = session.open("chat", ChannelConfig::new(Delivery::ReliableOrdered)).await?;
//! let receipt = chat.send("hello").await?; // accepted: it is on its way, whatever happens to the connection
//! receipt.await?;                          // handled by the peer's application
//! session.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//!
//! - A [`Session`] is between two identities, and survives its connections: the dialing side makes a new one when it
//!   must, and both go on where they were. [`Session::events`] tells of it; nothing needs to be done.
//! - A [`Channel`] is a numbered lane of a session under a label. Both sides open the label, and each gets a [`Channel`]
//!   to send and an [`Inbox`] to receive.
//! - A [`Receipt`] resolves when the peer's *application* has handled the message, or with the reason why it will not.
//!   It has no timeout: a lost connection is no outcome.
//! - [`Inbox::recv`] acknowledges when it hands over, [`Inbox::recv_unacked`] when you say so.
//! - Everything is bounded, and every bound is a setting: [`Config`], [`ChannelConfig`]. A full outbox makes
//!   [`Channel::send`] wait.
//!
//! # Layers
//!
//! A module imports only from the floors below its own.
//!
//! | floor | modules | |
//! |---|---|---|
//! | 5 | [`endpoint`], [`session`], [`channel`], [`receipt`], [`stats`] | the handles an application holds |
//! | 4 | `driver`, [`tls`], [`store`] | all that is asynchronous: quinn, sockets, tasks; identities; the journal |
//! | 2, 3 | [`protocol`] | a session as a pure state machine, composed of small ones |
//! | 1 | [`wire`], [`config`], [`error`] | bytes and frames; every knob; every error |
//! | 0 | [`id`] | names of sessions, channels and messages |

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test needs some instant to start from"))]

/// The README's examples are tested too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod channel;
pub mod config;
mod driver;
pub mod endpoint;
pub mod error;
pub mod id;
pub mod protocol;
pub mod receipt;
pub mod session;
pub mod stats;
pub mod store;
pub mod tls;
pub mod wire;

pub use channel::{
    Channel, Inbox, Message, TransferChanged, TypedChannel, TypedInbox, TypedMessage, TypedUnacked, Unacked,
};
pub use config::{
    ChannelConfig, Config, Delivery, HeartbeatPolicy, OnReset, Power, ReconnectPolicy, SendOptions, WhenFull,
};
pub use driver::{AttachRequest, Clock, Credentials, SocketFactory, SystemClock, Target, UdpSockets};
pub use endpoint::{Connect, Dormant, Endpoint, EndpointBuilder, Incoming, Parts, Restored};
pub use error::{
    AcceptError, BindError, CloseCode, CloseReason, ConfigError, ConnectError, DeliveryError, ExtendError,
    OpenError, Outcome, SendError, Side,
};
pub use id::{MessageId, SessionId};
pub use prost;
pub use protocol::machine::InboxEnd;
pub use protocol::types::{Event, Progress, SessionState, Transfer, Undelivered, Whereabouts};
pub use receipt::Receipt;
pub use session::{Events, IncomingChannel, IncomingChannels, Session};
pub use store::{MemoryStore, Store, StoreError, Storing};
pub use tls::{ClientAuth, Fingerprint, Identity, PeerIdentity, Trust};
pub use wire::Health;
