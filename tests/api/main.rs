//! The public interface as applications use it: real sockets on loopback, real time, and a relay between the peers that
//! can lose, delay and cut.
//!
//! Every wait is for an event; the timeouts in it are only there so that a test that will never end says so.

mod accepting;
mod addresses;
mod background;
mod batches;
mod closing;
mod crowd;
mod deadlines;
mod deliveries;
mod echo;
mod errors;
mod full;
mod heartbeat;
mod kills;
mod large;
mod liveness;
mod logs;
mod lossy;
#[cfg(feature = "metrics")]
mod metering;
mod modes;
mod outcomes;
mod parts;
mod pressure;
mod priorities;
mod receipts;
mod reconnecting;
mod relay;
mod resets;
mod restart;
mod restart_modes;
mod resumed;
mod stats;
mod stores;
mod support;
mod typed;
mod unacked;
mod voice;
