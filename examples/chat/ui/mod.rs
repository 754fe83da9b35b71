//! The person's end of a conversation: what is shown, and what is typed.
//!
//! On a terminal that is a screen whose ticks change in place ([`terminal`]). Where either end is a pipe or a
//! file it is plain lines ([`plain`]) without a single escape sequence, or lines of JSON on request.

mod draw;
mod editor;
pub(crate) mod plain;
mod terminal;
mod view;

use std::io::{self, IsTerminal, Write};

use tokio::sync::mpsc;

use crate::input::{self, Intent};
use crate::json::JsonLines;
use crate::notice::Notice;
use plain::Plain;
use terminal::Terminal;

/// Shows notices as lines.
pub(crate) trait Page {
    /// Writes what there is to say of one notice, and flushes it.
    fn show(&mut self, notice: &Notice, out: &mut dyn Write) -> io::Result<()>;
}

/// Where the person is.
pub(crate) struct Front {
    interrupts: mpsc::Receiver<Intent>,
    kind: Kind,
}

enum Kind {
    Lines { lines: mpsc::Receiver<Intent>, ended: bool, page: Box<dyn Page> },
    Screen(Box<Terminal>),
}

impl Front {
    /// The front that fits standard input and output.
    pub(crate) fn open(json: bool) -> io::Result<Self> {
        let interrupts = input::interrupts();
        let lines = |page| Kind::Lines { lines: input::lines(), ended: false, page };
        let kind = if json {
            lines(Box::new(JsonLines))
        } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
            Kind::Screen(Box::new(Terminal::open()?))
        } else {
            lines(Box::<Plain>::default())
        };
        Ok(Self { interrupts, kind })
    }

    /// Shows what happened.
    pub(crate) fn show(&mut self, notice: &Notice) -> io::Result<()> {
        match &mut self.kind {
            Kind::Lines { page, .. } => page.show(notice, &mut io::stdout().lock()),
            Kind::Screen(terminal) => {
                terminal.show(notice);
                Ok(())
            }
        }
    }

    /// Gives the terminal back, with the last word on it: what was on the screen is gone.
    pub(crate) fn leave(self, last: &Notice) -> io::Result<()> {
        match self.kind {
            Kind::Lines { .. } => Ok(()),
            Kind::Screen(terminal) => {
                drop(terminal);
                writeln!(io::stdout(), "{}", plain::describe(last))
            }
        }
    }

    /// What the person wants next; lines from a pipe stay in it while there is no room for them. Cancel-safe.
    pub(crate) async fn intent(&mut self, has_room: bool) -> io::Result<Intent> {
        match &mut self.kind {
            Kind::Lines { lines, ended, .. } => tokio::select! {
                Some(interrupt) = self.interrupts.recv() => Ok(interrupt),
                line = lines.recv(), if has_room && !*ended => {
                    let intent = line.unwrap_or(Intent::End);
                    *ended = intent == Intent::End;
                    Ok(intent)
                }
                else => std::future::pending().await,
            },
            Kind::Screen(terminal) => tokio::select! {
                Some(interrupt) = self.interrupts.recv() => Ok(interrupt),
                intent = terminal.intent() => intent,
            },
        }
    }
}
