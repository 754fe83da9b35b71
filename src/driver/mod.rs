//! All that is asynchronous: quinn, sockets and tasks live here and nowhere else.
//!
//! A session is one [`Machine`](crate::protocol::machine::Machine) behind one lock ([`shared`]). Three kinds of tasks
//! and handles feed it, and one of them drains it:
//!
//! ```text
//!   handles ── send, recv, ack, close ──┐                      ┌──> wakers of handles
//!   readers ── frames, link down ───────┼──> Shared{Machine} ──┤
//!   session task ── time, dials, room ──┘       ▲              ├──> events
//!                                               │              └──> journal, dials
//!                                          drains it all
//!                                               │
//!                    acceptor, dialer ──> session task ──> links' writers ──> quinn
//! ```
//!
//! - The [session task](task) waits, feeds, drains. It alone calls `poll_output`, and writes what comes out to the
//!   links, whose [writers](link::Writer) it owns and polls: no queue between them, and no lock held while writing.
//! - [Readers](link) are a task for each stream that takes time, and one for datagrams and for streams that come whole.
//!   They parse all that has come, take the lock once, feed it, and only then is anyone woken. A session that is not
//!   ready stops streams, and QUIC's flow control stops the peer; a datagram that it is not ready for is dropped.
//! - Handles lock, do one thing, and wake the task if it has something to do and does not know it yet. Nothing is
//!   allocated, spawned or timed for a message.
//!
//! The accepting side is in [`acceptor`] and [`registry`]: a connection is greeted by a task of its own, under a limit
//! of number and time, until its Hello is proven; then it is handed to its session, or waits in the registry until the
//! application has decided. The dialing side is in [`dialer`], one socket for each dial.
//!
//! How long NATs remember a silent dialer is found out by [`probing`], on connections that no session knows of, and kept
//! in [`networks`].
//!
//! Everything from the outside (sockets, tasks, timers, wall clock, randomness) comes from one [`environment`],
//! which a simulation replaces. `select!` is always `biased`, and no order comes from a hash map.

pub(crate) mod acceptor;
mod clock;
pub(crate) mod connect;
mod credentials;
pub(crate) mod dialer;
pub(crate) mod environment;
mod journal;
mod link;
mod losses;
mod metering;
mod networks;
mod probing;
pub(crate) mod registry;
pub(crate) mod restore;
mod setup;
pub(crate) mod shared;
mod socket;
mod target;
mod task;
mod transport;
pub(crate) mod waiting;
#[cfg(feature = "watch")]
pub(crate) mod watch;

pub use acceptor::AttachRequest;
pub use clock::{Clock, SystemClock};
pub use credentials::Credentials;
pub use socket::{SocketFactory, UdpSockets};
pub use target::Target;
