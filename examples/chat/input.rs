//! What the person at this end wants.
//!
//! Standard input is read by a plain thread, one line at a time. A thread of the async runtime would be waited
//! for at the end of the program, and this one may sit in a read that never returns. Few lines are read ahead: a file
//! of any size waits in its pipe until there is room.

use std::io::{self, BufRead, Read};
use std::thread;

use tokio::sync::mpsc;

/// Lines read ahead.
const AHEAD: usize = 64;

/// Longest line taken, and largest message, in bytes.
pub(crate) const LINE_BYTES: usize = 1024 * 1024;

/// Something wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// A line to be said.
    Say(String),
    /// A line so long that it was not kept.
    TooLong(usize),
    /// This side has begun or stopped writing.
    Typing(bool),
    /// Dial again now (`/reconnect`).
    Reconnect,
    /// Leave in an orderly way (`/quit`).
    Quit,
    /// There is no more input.
    End,
    /// The same as `Quit`, said by a signal; said twice, at once.
    Interrupt,
}

impl Intent {
    /// What a line means: itself, unless it is one of the two commands.
    pub(crate) fn of_line(line: &str) -> Self {
        match line.trim_end() {
            "/quit" => Self::Quit,
            "/reconnect" => Self::Reconnect,
            _ => Self::Say(line.to_owned()),
        }
    }
}

/// Reads standard input on a thread of its own. Ends with [`Intent::End`].
pub(crate) fn lines() -> mpsc::Receiver<Intent> {
    let (to, lines) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            // An input that cannot be read any more has ended as well.
            let intent = next_line(&mut input, LINE_BYTES).unwrap_or(Intent::End);
            let ends = intent == Intent::End;
            if to.blocking_send(intent).is_err() || ends {
                return;
            }
        }
    });
    lines
}

/// The next line, of which at most `limit` bytes are ever in memory.
fn next_line(input: &mut impl BufRead, limit: usize) -> io::Result<Intent> {
    let mut line = Vec::new();
    let mut size = input.by_ref().take(limit as u64 + 1).read_until(b'\n', &mut line)?;
    if size == 0 {
        return Ok(Intent::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if size > limit {
        size += skip_line(input)?;
        return Ok(Intent::TooLong(size));
    }
    Ok(Intent::of_line(&String::from_utf8_lossy(&line)))
}

/// Passes over the rest of a line; how many bytes that were, without its end.
fn skip_line(input: &mut impl BufRead) -> io::Result<usize> {
    let mut skipped = 0;
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.unwrap_or(buffer.len());
        let done = end.is_some() || buffer.is_empty();
        input.consume(end.map_or(length, |end| end + 1));
        skipped += length;
        if done {
            return Ok(skipped);
        }
    }
}

/// Ctrl-C, and where there is one the signal to terminate. They have a queue of their own, so that they pass
/// the lines that wait.
pub(crate) fn interrupts() -> mpsc::Receiver<Intent> {
    let (to, interrupts) = mpsc::channel(2);
    tokio::spawn(
        async move { while interrupt().await.is_ok() && to.send(Intent::Interrupt).await.is_ok() {} },
    );
    interrupts
}

#[cfg(unix)]
async fn interrupt() -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn interrupt() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intents(mut input: &[u8], limit: usize) -> Vec<Intent> {
        let mut intents = Vec::new();
        while intents.last() != Some(&Intent::End) {
            intents.push(next_line(&mut input, limit).unwrap());
        }
        intents.pop();
        intents
    }

    fn say(line: &str) -> Intent {
        Intent::Say(line.to_owned())
    }

    #[test]
    fn every_line_is_a_message_unless_it_is_a_command() {
        let found = intents(b"one\r\n\n two \n/quit\n/quitter\n/reconnect\nlast", 100);
        let expected = [
            say("one"),
            say(""),
            say(" two "),
            Intent::Quit,
            say("/quitter"),
            Intent::Reconnect,
            say("last"),
        ];
        assert_eq!(found, expected);
        assert_eq!(intents(b"", 100), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_the_next_one_is_read() {
        assert_eq!(
            intents(b"12345\n123456\n123456789\nok\n", 5),
            [say("12345"), Intent::TooLong(6), Intent::TooLong(9), say("ok")]
        );
        assert_eq!(intents(b"1234567", 5), [Intent::TooLong(7)]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(intents(b"a\xffb\n", 100), [say("a\u{fffd}b")]);
    }
}
