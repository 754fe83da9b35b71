//! Reliable messages over QUIC.
#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod id;
pub mod protocol;
#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the driver is what calls the crate's side of it")
)]
pub mod tls;
pub mod wire;
