//! A network to test against: loss, delay, queues, NATs and outages in virtual time, replayed exactly from a seed.
//!
//! # The layers
//!
//! A module uses only those above it in this table.
//!
//! | layer | types | what it does |
//! |---|---|---|
//! | time and luck | [`Time`], [`Draws`] | nanoseconds since the start; randomness that is looked up by (seed, name, stage, packet) |
//! | one direction of a link | [`Pipe`], [`Conditions`] | loss, delay, jitter, reordering, duplication, corruption, rate and queue, MTU, black holes, recorded bandwidth |
//! | a NAT box | [`Nat`], [`NatConfig`] | RFC 4787 behaviours, timers, rebinding, port exhaustion, hairpinning |
//! | a world | [`World`] | hosts, routers, links and NATs (behind NATs), IPv4 and IPv6, and what happens to them |
//! | the record | [`Trace`], [`run_twice`] | what happened to whom, when; its hash; where two runs part |
//! | scenarios | [`Scenario`], [`Step`] | a client's path to a server as data: from code, from TOML, or by name |
//! | a proxy | `proxy` (feature `proxy`) | the same links, NATs and scenarios between real programs, over real UDP sockets |
//! | quinn | `quic` (feature `quinn`) | sockets and a runtime under unmodified quinn 0.11; built-in workloads |
//!
//! All but the last two are sans-IO: `now` is an argument, nothing reads a clock, sleeps or opens a socket. The
//! last runs on tokio's paused clock, so an hour of a test takes no hour. Only the proxy runs in real time.
//!
//! # Features
//!
//! `cli` (on by default) builds the program `netsim`; `quinn` the adapter and the workloads; `proxy` the proxy.
//! Without them, what remains needs neither tokio nor quinn.
//!
//! # Replay
//!
//! The same seed gives the same run, on any machine and in any build profile. Every draw is a function of the
//! seed, the link's name, the stage and the packet's number; so taking one fault away leaves the others where
//! they were.

mod link;
mod nat;
mod packet;
#[cfg(feature = "proxy")]
pub mod proxy;
mod queue;
#[cfg(feature = "quinn")]
pub mod quic;
mod random;
mod scenario;
mod time;
mod trace;
mod values;
mod world;

pub use link::{CapacityTrace, Conditions, Exit, LinkCounts, Pipe};
pub use nat::{Dependence, Nat, NatConfig, NatCounts, Outbound, Refresh};
pub use packet::{Ecn, Fate, Packet};
pub use random::Draws;
pub use scenario::{Access, NatStep, Path, Scenario, ScenarioError, Step};
pub use time::Time;
pub use trace::{Divergence, Event, Trace, TraceHash, run_twice};
pub use values::BadValue;
pub use world::{Change, Delivery, Direction, Happening, HostId, Link, LinkId, NatChange, NetworkId, World};

/// The examples of the README compile and run.
#[cfg(all(doctest, feature = "quinn", feature = "proxy"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
