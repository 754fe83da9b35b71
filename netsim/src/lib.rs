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
//! | coverage | [`Coverage`], [`Plan`] | which faults of a scenario packets really met |
//! | shrinking | [`shrink`] | a failing run, made smaller |
//! | checkers | [`history`] | what both ends of an application saw, held against the guarantees of reliable messaging |
//! | quinn | `quic` (feature `quinn`) | sockets and a runtime under unmodified quinn 0.11; built-in workloads |
//! | what a run leaves | `artifact` (feature `artifacts`), `report` (feature `report`) | events, captures, pages with plots |
//!
//! All but `proxy`, `quic` and what a run leaves are sans-IO: `now` is an argument, nothing reads a clock, sleeps or
//! opens a socket. Quinn runs on tokio's paused clock, so an hour of a test takes no hour. Only the proxy runs in real
//! time.
//!
//! # Features
//!
//! `cli` (on by default) builds the program `netsim` and brings all others; `quinn` the adapter and the workloads;
//! `proxy` the proxy; `artifacts` events as JSON lines and captures as pcapng; `report` HTML and SVG. Without any of
//! them, what remains needs neither tokio nor quinn.
//!
//! # Replay
//!
//! The same seed gives the same run, on any machine and in any build profile. Every draw is a function of the
//! seed, the link's name, the stage and the packet's number; so taking one fault away leaves the others where
//! they were.

#[cfg(feature = "artifacts")]
pub mod artifact;
mod coverage;
pub mod history;
mod link;
mod nat;
mod packet;
#[cfg(feature = "proxy")]
pub mod proxy;
mod queue;
#[cfg(feature = "quinn")]
pub mod quic;
mod random;
#[cfg(feature = "report")]
pub mod report;
mod scenario;
pub mod shrink;
mod time;
mod trace;
mod values;
mod world;

pub use coverage::{Coverage, Exercise, Fired, Unexercised};
pub use link::{CapacityTrace, Conditions, Exit, LinkCounts, Met, Phase, Pipe};
pub use nat::{Dependence, Nat, NatConfig, NatCounts, Outbound, Refresh};
pub use packet::{Ecn, Fate, Packet};
pub use random::Draws;
pub use scenario::{Access, NatStep, Path, Plan, Scenario, ScenarioError, Step};
pub use time::Time;
pub use trace::{Capture, Divergence, Event, Trace, TraceHash, run_twice};
pub use values::{BadValue, parse_duration};
pub use world::{Change, Delivery, Direction, Happening, HostId, Link, LinkId, NatChange, NetworkId, World};

/// The examples of the README compile and run.
#[cfg(all(doctest, feature = "quinn", feature = "proxy"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
