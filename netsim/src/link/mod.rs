//! One direction of a link: what enters at one end, and what comes out of the other, and when.
//!
//! | file | what it models |
//! |---|---|
//! | `conditions` | what a direction does to packets, as data; what is not said stays as it was |
//! | `loss` | independent loss, bursts (Gilbert–Elliott), chosen packets |
//! | `shaper` | the bottleneck: a rate or a recorded trace, and the queue before it |
//! | `capacity` | recorded bandwidth in mahimahi's format |
//! | `aspects` | conditions taken apart |
//! | `counts` | what it did, and what packets met from one change to the next |
//! | `memory` | what it remembers of its packets, for coverage and shrinking |
//! | `fault` | the ways in which conditions hurt packets, one by one |
//! | `pipe` | composes them: `push(now, packet)`, `pop(now)`, `next_wakeup()` |

mod aspects;
mod capacity;
mod conditions;
mod counts;
mod fault;
mod loss;
mod memory;
mod pipe;
mod shaper;
#[cfg(test)]
mod tests;

pub use capacity::CapacityTrace;
pub use conditions::Conditions;
pub use counts::{LinkCounts, Met, Phase};
pub(crate) use fault::Fault;
pub use pipe::{Exit, Pipe};
