//! `chat demo`: two peers in one process, with everything between them that two machines would have.
//!
//! Ada listens and Bob dials, over UDP on the loopback interface, each with an identity of its own. They follow
//! a script, one line after the other, so that each line shows its ticks as they come; then both talk at once. What
//! the last line says was counted from the ids that each side was told, not assumed.

use std::error::Error;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use bowline::Endpoint;
use bowline::config::Config;
use bowline::error::Outcome;
use bowline::tls::{Identity, Trust};

use crate::notice::Notice;
use crate::peer::Conversation;
use crate::tally::Tally;

const SCRIPT: [(Name, &str); 14] = [
    (Name::Bob, "Ada? Are you there?"),
    (Name::Ada, "I am. Your key is the one I hoped for."),
    (Name::Bob, "And I checked your fingerprint before I said a word."),
    (Name::Ada, "So nobody sits between us. What are these ticks behind the lines?"),
    (Name::Bob, "One: your session has my line. Two: you have read it."),
    (Name::Ada, "And if my train goes into a tunnel before the second?"),
    (Name::Bob, "Then it waits here, and comes once you are out. Once, not twice."),
    (Name::Ada, "In order?"),
    (Name::Bob, "In order."),
    (Name::Ada, "And if I never come out?"),
    (Name::Bob, "Then I am told that nobody knows, and not that all is well."),
    (Name::Ada, "I like a knot that tells the truth. 🪢"),
    (Name::Bob, "Shall we both talk at once, and see whether it holds?"),
    (Name::Ada, "A hundred lines each. Go!"),
];

/// Lines that each says when both talk at once.
const AT_ONCE: usize = 100;

/// A pause between two lines, so that a person can follow.
const PAUSE: Duration = Duration::from_millis(300);

/// Whatever happens, the demo ends.
const LIMIT: Duration = Duration::from_secs(25);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Ada,
    Bob,
}

/// Runs the command to its end.
pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let mut tally = Tally::default();
    let held = tokio::time::timeout(LIMIT, hold(&mut tally)).await;
    writeln!(io::stdout(), "{tally}")?;
    held.map_err(|_| format!("the demo did not end within {LIMIT:?}"))??;
    if tally.is_perfect() { Ok(()) } else { Err("not every message was handled once and in order".into()) }
}

async fn hold(tally: &mut Tally) -> Result<(), Box<dyn Error>> {
    let mut demo = Demo::meet(tally).await?;
    for (name, text) in SCRIPT {
        tokio::time::sleep(PAUSE).await;
        demo.side(name).say(text);
        demo.until_handled(1, true).await?;
    }
    for n in 1..=AT_ONCE {
        demo.ada.say(&format!("ada counts {n}"));
        demo.bob.say(&format!("bob counts {n}"));
    }
    demo.until_handled(2 * AT_ONCE, false).await?;
    writeln!(io::stdout(), "both  {AT_ONCE} lines each, at once ✓ ✓✓")?;
    demo.part().await
}

/// The two, and what is known of their conversation.
struct Demo<'a> {
    ada: Conversation,
    bob: Conversation,
    tally: &'a mut Tally,
}

impl<'a> Demo<'a> {
    /// Ada listens, Bob dials.
    async fn meet(tally: &'a mut Tally) -> Result<Self, Box<dyn Error>> {
        let (ada, bob) = (Identity::generate()?, Identity::generate()?);
        let (ada_is, bob_is) = (ada.fingerprint(), bob.fingerprint());
        let listening = Endpoint::bind((Ipv4Addr::LOCALHOST, 0), ada, Config::default())?;
        let dialing = Endpoint::client(bob, Config::default())?;
        let addr = listening.local_addr()?;
        writeln!(io::stdout(), "ada listens on {addr}, bob dials")?;

        let accepted = async {
            let incoming = listening.accept().await.ok_or("the endpoint closed")?;
            if incoming.peer().map(|peer| peer.fingerprint()) != Some(bob_is) {
                return Err("somebody else knocked".into());
            }
            Ok::<_, Box<dyn Error>>(incoming.accept().await?)
        };
        let dialed = async {
            let session = dialing.connect(addr, Trust::fingerprint(ada_is)).await?;
            Ok::<_, Box<dyn Error>>(session)
        };
        let (accepted, dialed) = tokio::try_join!(accepted, dialed)?;
        let ada = Conversation::start(accepted, "ada", bob_is.to_string()).await?;
        let bob = Conversation::start(dialed, "bob", ada_is.to_string()).await?;
        Ok(Self { ada, bob, tally })
    }

    fn side(&mut self, name: Name) -> &mut Conversation {
        match name {
            Name::Ada => &mut self.ada,
            Name::Bob => &mut self.bob,
        }
    }

    /// Goes on until so many more messages are handled.
    async fn until_handled(&mut self, messages: usize, show: bool) -> Result<(), Box<dyn Error>> {
        let goal = self.tally.handled() + messages;
        while self.tally.handled() < goal {
            let (name, notice) = tokio::select! {
                notice = self.ada.next() => (Name::Ada, notice),
                notice = self.bob.next() => (Name::Bob, notice),
            };
            let notice = notice.ok_or("the conversation ended")?;
            self.tally.count(&notice);
            if show {
                print(name, &notice)?;
            }
            match notice {
                Notice::Problem(problem) => return Err(problem.into()),
                Notice::Closed(reason) => return Err(format!("the conversation ended: {reason}").into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bob leaves, and Ada notices. Whatever were told late would be counted still.
    async fn part(self) -> Result<(), Box<dyn Error>> {
        let Self { mut ada, mut bob, tally } = self;
        bob.leave();
        let (mut ada_is_there, mut bob_is_there) = (true, true);
        while ada_is_there || bob_is_there {
            let notice = tokio::select! {
                notice = ada.next(), if ada_is_there => { ada_is_there = notice.is_some(); notice }
                notice = bob.next(), if bob_is_there => { bob_is_there = notice.is_some(); notice }
            };
            if let Some(notice) = notice {
                tally.count(&notice);
            }
        }
        Ok(())
    }
}

/// A line, and behind it the ticks when they come.
fn print(name: Name, notice: &Notice) -> io::Result<()> {
    let name = match name {
        Name::Ada => "ada",
        Name::Bob => "bob",
    };
    let mut out = io::stdout().lock();
    match notice {
        Notice::Accepted { text, .. } => write!(out, "{name:<4}  {text}")?,
        Notice::Received { .. } => write!(out, " ✓")?,
        Notice::Ended { outcome: Outcome::Handled, .. } => writeln!(out, " ✓✓")?,
        Notice::Ended { .. } => writeln!(out, " ✗")?,
        _ => {}
    }
    out.flush()
}
