//! Reliable messages over QUIC.
#![forbid(unsafe_code)]

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the driver is what calls the crate's side of it")
)]
pub mod tls;
