//! Commands as lines of the standard input.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;

use super::Input;

/// No command is longer.
pub(super) const COMMAND_BYTES: usize = 4096;

/// Lines that wait to be answered; then reading pauses.
const LINES_WAITING: usize = 16;

/// Why a command was not even read.
pub(super) fn too_long() -> String {
    format!("no command is longer than {COMMAND_BYTES} bytes")
}

/// The lines of the standard input, until it ends.
pub(super) fn stdin() -> mpsc::Receiver<Input> {
    let (lines, receiver) = mpsc::channel(LINES_WAITING);
    // A thread that the end of the program does not wait for: a read of a terminal cannot be taken back. Without a
    // thread, as without an input, nothing comes.
    let read = move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next(&mut input) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("netsim-stdin".into()).spawn(read).ok();
    receiver
}

fn next(input: &mut impl BufRead) -> Option<Input> {
    let mut line = Vec::new();
    let read = input.take(COMMAND_BYTES as u64 + 1).read_until(b'\n', &mut line).ok()?;
    if read == 0 {
        return None;
    }
    if read > COMMAND_BYTES && line.last() != Some(&b'\n') {
        input.skip_until(b'\n').ok()?;
        return Some(Input::TooLong);
    }
    Some(Input::Line(String::from_utf8_lossy(&line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_long_ones_refused_whole() {
        let fits = "x".repeat(COMMAND_BYTES - 1);
        let text = format!("one\n\n{fits}\n{}\nfour", "y".repeat(3 * COMMAND_BYTES));
        let mut input = text.as_bytes();
        let mut read = Vec::new();
        while let Some(line) = next(&mut input) {
            read.push(match line {
                Input::Line(line) => line.trim_end().to_owned(),
                Input::TooLong => "too long".to_owned(),
            });
        }
        assert_eq!(read, ["one", "", fits.as_str(), "too long", "four"]);
    }
}
