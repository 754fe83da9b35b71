//! The loop between a conversation and a person, the same at both ends.

use std::error::Error;

use bowline::error::CloseReason;

use crate::input::Intent;
use crate::kept::{Kept, too_long};
use crate::notice::Notice;
use crate::peer::Conversation;
use crate::ui::Front;

/// How a conversation ended.
pub(crate) struct End {
    pub(crate) reason: CloseReason,
    /// The person at this end wanted to go, or has nothing more to say.
    pub(crate) wanted: bool,
}

/// Talks until the conversation is over, beginning with what was `kept` for the peer.
pub(crate) async fn talk(
    mut conversation: Conversation,
    front: &mut Front,
    kept: &mut Kept,
) -> Result<End, Box<dyn Error>> {
    let mut wanted = kept.say_to(&mut conversation);
    loop {
        let has_room = conversation.has_room();
        tokio::select! {
            notice = conversation.next() => {
                let notice = notice.ok_or("the conversation ended without a reason")?;
                front.show(&notice)?;
                if let Notice::Closed(reason) = notice {
                    return Ok(End { reason, wanted });
                }
            }
            intent = front.intent(has_room) => match intent? {
                Intent::Say(text) => conversation.say(&text),
                Intent::TooLong(size) => front.show(&too_long(size))?,
                Intent::Typing(active) => conversation.typing(active),
                Intent::Reconnect => conversation.reconnect(),
                Intent::Interrupt if wanted => return Err("interrupted".into()),
                Intent::Quit | Intent::End | Intent::Interrupt => {
                    conversation.leave();
                    // The end of the input may follow a `/quit`.
                    if !std::mem::replace(&mut wanted, true) {
                        let advice = "leaving when everything said has its outcome; Ctrl-C leaves at once";
                        front.show(&Notice::Hint(advice.to_owned()))?;
                    }
                }
            },
        }
    }
}
