//! Bowline over simulated networks, in virtual time: real endpoints, real QUIC, and a network that does what it is told.
//!
//! | file | what it holds |
//! |---|---|
//! | `world` | two programs on the two ends of a scenario |
//! | `beside` | what a large transfer does to the messages beside it |

mod beside;
mod world;
