//! The perf example as its users have it: two processes, and JSON lines. Nothing here says how fast anything is.

mod faults;
mod hints;
mod input;
mod modes;
mod process;
mod runs;
