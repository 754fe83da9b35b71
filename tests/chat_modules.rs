//! Runs the tests that stand in the modules of the chat example.
//!
//! Cargo builds an example either as a program or, with `test = true`, as a test. `tests/chat` needs the program,
//! so what of it can be tested without a network is taken into this test by its path.
#![allow(dead_code, unused_imports, reason = "a program uses more of its modules than their tests do")]

#[path = "../examples/chat/cli.rs"]
mod cli;
#[path = "../examples/chat/envelope.rs"]
mod envelope;
#[path = "../examples/chat/generated.rs"]
mod generated;
#[path = "../examples/chat/input.rs"]
mod input;
#[path = "../examples/chat/json.rs"]
mod json;
#[path = "../examples/chat/notice.rs"]
mod notice;
#[path = "../examples/chat/tally.rs"]
mod tally;
#[path = "../examples/chat/text.rs"]
mod text;
#[path = "../examples/chat/ui/mod.rs"]
mod ui;
