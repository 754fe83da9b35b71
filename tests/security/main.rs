//! Hostile peers: what somebody who speaks QUIC, and as much of the protocol as suits them, can do to an endpoint.
//!
//! The peers here are made of quinn and the public codecs ([`raw`]), so they can say anything, at any time. What breaks which rule
//! is in tables ([`rules`]), which the simulation goes through as well. Their
//! victims are real endpoints on the loopback interface ([`host`]).

mod acceptors;
mod attach;
mod credentials;
mod flood;
mod futures;
mod garbage;
mod host;
mod logs;
mod memory;
mod probes;
mod quic;
mod racing;
mod raw;
#[allow(
    dead_code,
    reason = "some of what is in the tables takes a bad network, or long, and is for the simulation"
)]
mod rules;
mod trust;
mod violations;

use std::future::IntoFuture;
use std::time::Duration;

/// Long enough for a busy machine, short enough for whoever waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails a test that would otherwise wait for ever.
#[track_caller]
fn soon<F: IntoFuture>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    let limited = tokio::time::timeout(PATIENCE, future.into_future());
    async move { limited.await.unwrap_or_else(|_| panic!("{caller}: this should not take so long")) }
}
