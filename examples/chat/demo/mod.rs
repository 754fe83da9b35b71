//! `chat demo`: two peers in one process, and between them a network that has a bad day.
//!
//! Ada listens and Bob dials, over UDP on the loopback interface, each with an identity of its own. What they send goes
//! through a [`network`] that loses and reorders packets, gives Bob another port and goes dark, when the [`script`] says
//! so. Everything is [shown](page) as it happens: lines and their ticks, what befalls the network, and what the two
//! sessions make of it. The last line was counted from the ids and receipts that each side was told, not assumed.

mod network;
mod page;
mod script;

use std::error::Error;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use bowline::Endpoint;
use bowline::config::{Config, ReconnectPolicy};
use bowline::tls::{Identity, Trust};
use bowline_netsim::proxy::Event;
use tokio::time::Instant;

use crate::cli::DemoArgs;
use crate::notice::Notice;
use crate::peer::Conversation;
use crate::tally::Tally;
use network::{Fault, Network};
use page::Page;
use script::{AT_ONCE, SCRIPT, Step};

/// A pause before each line, so that a person can follow.
const PAUSE: Duration = Duration::from_millis(300);

/// A pause between two lines of those who talk at once: without it all would fit into a few packets, and meet no rain.
const BREATH: Duration = Duration::from_millis(10);

/// How often a path proves that it is alive while nobody speaks.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Whatever happens, the demo ends.
const LIMIT: Duration = Duration::from_secs(28);

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Ada,
    Bob,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ada => "ada",
            Self::Bob => "bob",
        })
    }
}

/// Runs the command to its end.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Box<dyn Error>> {
    let mut page = page::open(args.json);
    let mut tally = Tally::default();
    let began = Instant::now();
    let held = tokio::time::timeout(LIMIT, hold(began, page.as_mut(), &mut tally)).await;
    page.summary(began.elapsed(), &tally)?;
    held.map_err(|_| format!("the demo did not end within {LIMIT:?}"))??;
    if tally.is_perfect() { Ok(()) } else { Err("not every message was handled once and in order".into()) }
}

async fn hold(began: Instant, page: &mut dyn Page, tally: &mut Tally) -> Result<(), Box<dyn Error>> {
    let mut demo = Demo::meet(began, page, tally).await?;
    for step in SCRIPT {
        demo.pass(PAUSE).await?;
        match step {
            Step::Say(name, text) => {
                demo.say(name, text);
                demo.settle().await?;
            }
            Step::Call(name, text) => demo.say(name, text),
            Step::Fault(fault) => demo.network.befall(fault)?,
            Step::Settle => demo.settle().await?,
            Step::AtOnce => demo.talk_at_once().await?,
        }
    }
    demo.part().await
}

/// The two, what lies between them, and what is known of their conversation.
struct Demo<'a> {
    ada: Conversation,
    bob: Conversation,
    network: Network,
    page: &'a mut dyn Page,
    tally: &'a mut Tally,
    began: Instant,
    /// Lines said so far.
    said: usize,
}

impl<'a> Demo<'a> {
    /// Ada listens, Bob dials.
    async fn meet(
        began: Instant,
        page: &'a mut dyn Page,
        tally: &'a mut Tally,
    ) -> Result<Self, Box<dyn Error>> {
        let (ada, bob) = (Identity::generate()?, Identity::generate()?);
        let (ada_is, bob_is) = (ada.fingerprint(), bob.fingerprint());
        // The default, every 15 s, spares a phone's battery; these two want to know soon when nobody answers.
        let config = Config::default().heartbeat(HEARTBEAT).reconnect(ReconnectPolicy::Responsive);
        let listening = Endpoint::bind((Ipv4Addr::LOCALHOST, 0), ada, config.clone())?;
        let dialing = Endpoint::client(bob, config)?;
        let network = Network::before(listening.local_addr()?).await?;
        page.begins(&network)?;

        let accepted = async {
            let incoming = listening.accept().await.ok_or("the endpoint closed")?;
            if incoming.peer().map(|peer| peer.fingerprint()) != Some(bob_is) {
                return Err("somebody else knocked".into());
            }
            Ok::<_, Box<dyn Error>>(incoming.accept().await?)
        };
        let dialed = async {
            let session = dialing.connect(network.addr(), Trust::fingerprint(ada_is)).await?;
            Ok::<_, Box<dyn Error>>(session)
        };
        let (accepted, dialed) = tokio::try_join!(accepted, dialed)?;
        let ada = Conversation::start(accepted, "ada", bob_is.to_string()).await?;
        let bob = Conversation::start(dialed, "bob", ada_is.to_string()).await?;
        Ok(Self { ada, bob, network, page, tally, began, said: 0 })
    }

    fn say(&mut self, name: Name, text: &str) {
        self.said += 1;
        match name {
            Name::Ada => self.ada.say(text),
            Name::Bob => self.bob.say(text),
        }
    }

    /// Shows what happens for a while.
    async fn pass(&mut self, time: Duration) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + time;
        while let Ok(next) = tokio::time::timeout_at(end, self.next()).await {
            next?;
        }
        Ok(())
    }

    /// Shows what happens until everything said has its outcome.
    async fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        while self.tally.ended() < self.said {
            self.next().await?;
        }
        Ok(())
    }

    async fn talk_at_once(&mut self) -> Result<(), Box<dyn Error>> {
        self.page.crowd_begins(self.began.elapsed())?;
        for n in 1..=AT_ONCE {
            self.say(Name::Ada, &format!("ada counts {n}"));
            self.say(Name::Bob, &format!("bob counts {n}"));
            self.pass(BREATH).await?;
        }
        self.settle().await?;
        self.page.crowd_ends(self.began.elapsed())?;
        Ok(())
    }

    /// Shows the next thing that happens. Nothing is lost if the future is dropped.
    async fn next(&mut self) -> Result<(), Box<dyn Error>> {
        let (name, notice) = tokio::select! {
            event = self.network.next() => return self.befallen(&event?),
            notice = self.ada.next() => (Name::Ada, notice),
            notice = self.bob.next() => (Name::Bob, notice),
        };
        let notice = notice.ok_or("the conversation ended")?;
        self.take(name, &notice)?;
        match notice {
            Notice::Problem(problem) => Err(problem.into()),
            Notice::Closed(reason) => Err(format!("the conversation ended: {reason}").into()),
            _ => Ok(()),
        }
    }

    fn befallen(&mut self, event: &Event) -> Result<(), Box<dyn Error>> {
        Ok(self.page.network(self.began.elapsed(), event)?)
    }

    fn take(&mut self, name: Name, notice: &Notice) -> Result<(), Box<dyn Error>> {
        let now = self.began.elapsed();
        self.tally.count(notice, now);
        Ok(self.page.notice(now, name, notice)?)
    }

    /// Bob leaves, and Ada notices. Whatever were told late would be counted still.
    async fn part(mut self) -> Result<(), Box<dyn Error>> {
        self.bob.leave();
        let (mut ada_is_there, mut bob_is_there) = (true, true);
        while ada_is_there || bob_is_there {
            let (name, notice) = tokio::select! {
                event = self.network.next() => {
                    self.befallen(&event?)?;
                    continue;
                }
                notice = self.ada.next(), if ada_is_there => (Name::Ada, notice),
                notice = self.bob.next(), if bob_is_there => (Name::Bob, notice),
            };
            match (notice, name) {
                (Some(notice), name) => self.take(name, &notice)?,
                (None, Name::Ada) => ada_is_there = false,
                (None, Name::Bob) => bob_is_there = false,
            }
        }
        let figures = self.network.end().await;
        self.page.figures(self.began.elapsed(), &figures)?;
        Ok(figures.require_faults()?)
    }
}
