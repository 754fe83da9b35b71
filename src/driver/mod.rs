//! driver
pub(crate) mod acceptor;
mod clock;
pub(crate) mod connect;
mod credentials;
pub(crate) mod dialer;
pub(crate) mod environment;
mod journal;
mod link;
pub(crate) mod registry;
pub(crate) mod shared;
mod setup;
mod socket;
mod target;
mod task;
mod transport;
pub(crate) mod waiting;

pub use acceptor::AttachRequest;
pub use clock::{Clock, SystemClock};
pub use credentials::Credentials;
pub use socket::{SocketFactory, UdpSockets};
pub use target::Target;
