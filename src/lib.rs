//! Reliable messages over QUIC.
#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod id;
pub mod protocol;
pub mod wire;
