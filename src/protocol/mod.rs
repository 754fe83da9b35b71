//! The protocol, pure: no sockets, no clock, no randomness of its own. Time and bytes come in, decisions come out.
//!
//! A session is a conversation between two peers that outlives its connections. Each side drives one
//! [`Machine`](machine::Machine). Connections, here called *links*, come and go; at any time at most one is *attached*, and what is said on
//! any other is ignored (G9). Each side numbers the messages it sends on each channel, keeps them until the
//! other side's application is done with them, and tells what it has received and handled. When a link is lost nothing is
//! lost with it: on the next one both sides say what they have, and both send the rest again, in order; what
//! comes twice is recognised by its number (G3). When a side has forgotten the session, its new *epoch* shows it, and
//! the other one ends every message in doubt as unknown, or sends it again marked as redelivered: never silently.
//!
//! # Driving a machine
//!
//! ```text
//!  link up / frame / link down ──┐                    ┌──> Transmit, CloseLink, Dial, AbortDial
//!  dial failed, room, sample ────┤                    ├──> Journal, Measure, Learned
//!  journaled, timeout ───────────┼──>  Machine  ──────┼──> Event, Wake
//!  send, recv, ack, open, close ─┘                    └──> Wait(until)
//! ```
//!
//! After any input, call [`poll_output`](machine::Machine::poll_output) until it says `Wait`; then wait for input or for that time. Any
//! interleaving of inputs is legal. All the parts know time only as an argument, which never runs backwards.
//!
//! # The parts
//!
//! Each is a small machine of its own, blind to the others; [`machine`] alone composes them.
//!
//! | part | one sentence |
//! |---|---|
//! | [`outbox`] | numbers messages, keeps them until resolved, says which to write next |
//! | [`outcomes`] | how those ended that were not handled |
//! | [`dedup`] | which sequences have arrived, exactly |
//! | [`reorder`] | what arrived early waits for what is missing |
//! | [`flights`] | which datagrams are lost |
//! | [`bodies`] | the beginnings of large messages |
//! | [`fragments`] | unreliable messages in pieces |
//! | [`peer_clock`] | what the peer's deadlines mean here |
//! | [`handover`] | messages in the application's hands, until acknowledged |
//! | [`acks`] | what the sender is to be told, and was told |
//! | [`heartbeat`] | when the dialer beats, what silence means, and what is tried then |
//! | [`silence`] | a flow that stops |
//! | [`lifetime`] | how long NATs remember a silent dialer, and the interval that fits |
//! | [`liveness`] | the acceptor's lease; whether a service takes its messages |
//! | [`backoff`] | when to dial again |
//! | [`proof`] | shows the session's secret without telling it |
//! | [`admission`] | who may attach to what, on the accepting side |
//! | [`journal`] | what to remember to survive a restart |
//! | [`ranges`] | sets of sequences |
//! | [`told`] | sets of sequences that the other side hears of |

pub mod acks;
pub mod admission;
pub mod backoff;
pub mod bodies;
pub mod dedup;
pub mod flights;
pub mod fragments;
pub mod handover;
pub mod heartbeat;
pub mod journal;
pub mod lifetime;
pub mod liveness;
pub mod machine;
pub mod outbox;
pub mod outcomes;
pub mod peer_clock;
pub mod proof;
pub mod ranges;
pub mod reorder;
pub mod silence;
pub mod told;
pub mod types;
