//! Reliable messages over QUIC.
#![forbid(unsafe_code)]
