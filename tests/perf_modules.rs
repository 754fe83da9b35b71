//! Runs the tests that stand in the modules of the perf example.
//!
//! Cargo builds an example either as a program or, with `test = true`, as a test. `tests/perf` needs the program,
//! so what of it can be tested without a network is taken into this test by its path.
#![allow(dead_code, unused_imports, reason = "a program uses more of its modules than their tests do")]

#[path = "../examples/perf/cli.rs"]
mod cli;
#[path = "../examples/perf/clock.rs"]
mod clock;
#[path = "../examples/perf/control.rs"]
mod control;
#[path = "../examples/perf/json.rs"]
mod json;
#[path = "../examples/perf/meter.rs"]
mod meter;
#[path = "../examples/perf/payload.rs"]
mod payload;
#[path = "../examples/perf/plan.rs"]
mod plan;
#[path = "../examples/perf/remote.rs"]
mod remote;
#[path = "../examples/perf/seen.rs"]
mod seen;
#[path = "../examples/perf/show.rs"]
mod show;
#[path = "../examples/perf/summary.rs"]
mod summary;
