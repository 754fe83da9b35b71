//! What is typed while there is nobody to hear it.

use std::error::Error;

use crate::input::{Intent, LINE_BYTES};
use crate::notice::Notice;
use crate::peer::{Conversation, WAITING};
use crate::ui::Front;

/// Lines kept; more stay where they come from. A conversation takes so many at once, whatever else it has to say.
const LINES: usize = WAITING / 2;

/// Lines for the peer that is not there yet, so that `echo hello | chat connect …` says hello.
#[derive(Default)]
pub(crate) struct Kept {
    lines: Vec<String>,
    /// The person has said all there is to say.
    ended: bool,
}

impl Kept {
    /// Keeps what is typed until the person wants to go, or has no more to say: returns which. Cancel-safe.
    pub(crate) async fn keep(&mut self, front: &mut Front) -> Result<Intent, Box<dyn Error>> {
        loop {
            match front.intent(self.lines.len() < LINES && !self.ended).await? {
                Intent::Say(line) if !self.ended => {
                    if self.lines.is_empty() {
                        front.show(&Notice::Hint("nobody is here yet: what you type is kept".to_owned()))?;
                    }
                    self.lines.push(line);
                }
                Intent::TooLong(size) => front.show(&too_long(size))?,
                Intent::Say(_) | Intent::Typing(_) | Intent::Reconnect => {}
                enough @ (Intent::Quit | Intent::End) => {
                    self.ended = true;
                    return Ok(enough);
                }
                Intent::Interrupt => return Ok(Intent::Interrupt),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Says what was kept, and leaves if that was all. Returns whether it was.
    pub(crate) fn say_to(&mut self, conversation: &mut Conversation) -> bool {
        self.lines.drain(..).for_each(|line| conversation.say(&line));
        if self.ended {
            conversation.leave();
        }
        self.ended
    }
}

/// What is said of a line that was not kept.
pub(crate) fn too_long(size: usize) -> Notice {
    Notice::Problem(format!(
        "not sent: line of {size} bytes is over the limit of {LINE_BYTES} bytes: split it"
    ))
}
