//! Reliable messages over QUIC.
#![forbid(unsafe_code)]

pub mod channel;
pub mod config;
mod driver;
pub mod endpoint;
pub mod error;
pub mod id;
pub mod protocol;
pub mod receipt;
pub mod session;
pub mod stats;
pub mod store;
pub mod tls;
pub mod wire;

pub use channel::{Channel, Inbox, Message, Unacked};
pub use config::{ChannelConfig, Config, Delivery};
pub use driver::*;
pub use endpoint::Endpoint;
pub use receipt::Receipt;
pub use session::Session;
pub use tls::{Fingerprint, Identity, Trust};
