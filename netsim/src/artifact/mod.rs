//! What a run leaves behind: its events as JSON lines, its packets as a capture file.
//!
//! | file | what it writes |
//! |---|---|
//! | `events` | one JSON object a line |
//! | `capture` | pcapng, as Wireshark opens it |

mod capture;
mod events;
#[cfg(test)]
mod tests;

pub use capture::write_capture;
pub use events::{write_changes, write_events};
