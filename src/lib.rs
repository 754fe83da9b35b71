//! Reliable messages over QUIC.
#![forbid(unsafe_code)]

pub mod config;
mod driver;
pub mod error;
pub mod id;
pub mod protocol;
pub mod store;
pub mod tls;
pub mod wire;
