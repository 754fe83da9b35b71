//! Bowline over simulated networks, in virtual time: real endpoints, real QUIC, and a network that does what it is told.
//!
//! | file | what it holds |
//! |---|---|
//! | `world` | two programs on the two ends of a scenario |
//! | `beside` | what a large transfer does to the messages beside it |
//! | `dormant` | clients that are not heard, or go to the background |
//! | `survival` | rebindings, silence and blackouts, and how long they last |

mod beside;
mod dormant;
mod survival;
mod world;
