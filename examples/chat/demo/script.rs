//! What the two say, and what befalls the network meanwhile.

use super::{Fault, Name};

/// Lines that each says when both talk at once.
pub(super) const AT_ONCE: usize = 100;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Someone says a line, and all wait until it is handled.
    Say(Name, &'static str),
    /// Someone says a line, and nobody waits.
    Call(Name, &'static str),
    /// Something befalls the network.
    Fault(Fault),
    /// All wait until everything said is handled.
    Settle,
    /// Both say [`AT_ONCE`] lines.
    AtOnce,
}

use Name::{Ada, Bob};
use Step::{AtOnce, Call, Fault as Befall, Say, Settle};

pub(super) const SCRIPT: [Step; 27] = [
    Say(Bob, "Ada? Are you there?"),
    Say(Ada, "I am. Your key is the one I hoped for."),
    Say(Bob, "And I checked your fingerprint before I said a word."),
    Say(Ada, "What are these ticks behind the lines?"),
    Say(Bob, "One: your session has my line. Two: you have read it."),
    Befall(Fault::Weather),
    Say(Ada, "Is it raining where you are?"),
    Say(Bob, "Packets are lost, and some overtake others. You hear each line once all the same."),
    Say(Ada, "In order?"),
    Say(Bob, "In order."),
    Befall(Fault::Rebinding),
    Say(Bob, "My router has just sent me out by another door."),
    Say(Ada, "I see you at another address, and still it is you: the same key, the same session."),
    Say(Bob, "There is a tunnel ahead. Go on talking, I do the same."),
    Befall(Fault::Blackout),
    Call(Bob, "It is dark in here."),
    Call(Ada, "Nothing comes from you any more. I talk on."),
    Call(Bob, "So do I. What I say waits with me until I am out."),
    Call(Ada, "And what I say waits with me."),
    Call(Bob, "It comes once. Not twice, and not in another order."),
    Settle,
    Say(Ada, "You are back! And if you had never come out?"),
    Say(Bob, "Then I had been told that nobody knows, and not that all is well."),
    Say(Ada, "I like a knot that tells the truth. 🪢"),
    Say(Bob, "It is still raining. A hundred lines each, at once?"),
    AtOnce,
    Befall(Fault::Over),
];
