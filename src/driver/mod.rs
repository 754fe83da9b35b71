//! driver
mod clock;
mod environment;
mod socket;
mod transport;
mod waiting;
