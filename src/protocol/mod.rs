//! The protocol, pure: no sockets, no clock, no randomness of its own. Time and bytes come in, decisions come out.

pub mod admission;
pub mod journal;
pub mod machine;
pub mod types;
