//! Bytes to frames and back. The format, rule by rule, is `proto/README.md`.
//!
//! Nothing here knows of connections or of time. Decoding never panics and never allocates more than the bytes
//! it was given justify; what it yields is valid by type, or an error that names what was wrong.

pub mod control;
mod convert;
pub mod data;
mod error;
mod frame;
mod generated;
pub mod heartbeat;
pub mod varint;

pub use error::WireError;
pub use frame::*;

/// The ALPN token: protocol name and version.
pub const ALPN: &[u8] = b"bowline/1";

/// The protocol version this library speaks.
pub const VERSION: u32 = 1;

/// Largest application credentials in a Hello, in bytes (rule S7).
pub const MAX_CREDENTIALS: usize = 4 * 1024;

/// Longest silence that a lifetime probe may ask for, in milliseconds (rule H6).
pub const MAX_PROBE_MS: u64 = 600_000;

/// Largest Hello, in bytes: all that is kept for a peer before its proof is verified.
pub const MAX_HELLO: usize = 8 * 1024;

/// Largest control message after that, in bytes.
pub const MAX_CONTROL: usize = 64 * 1024;

/// Longest channel label, in bytes of UTF-8.
pub const MAX_LABEL: usize = 255;

/// Longest reason in a refusal, verdict or close, in bytes of UTF-8. Longer ones are cut.
pub const MAX_REASON: usize = 256;
