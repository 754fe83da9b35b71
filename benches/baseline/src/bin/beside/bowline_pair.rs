//! A session of Bowline, with a channel for the chat and one for transfers.

use bowline::{Channel, ChannelConfig, Config, Delivery, Endpoint, Identity, Inbox, Session, Trust};
use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::rounds::{Give, Hear, Pair, Take, Talk};
use crate::{Problem, line};

/// One half of a channel, and what it needs to live.
pub(crate) struct Half<T> {
    half: T,
    _kept: (Session, Endpoint),
}

type Hands = Pair<Half<Channel>, Half<Inbox>, Half<Channel>, Half<Inbox>>;

pub(crate) fn connect(
    dialing: &Runtime,
    accepting: &Runtime,
    mbit_per_s: Option<u32>,
    delivery: Delivery,
) -> Result<Hands, Problem> {
    let identity = Identity::generate()?;
    let listener =
        accepting.block_on(async { Endpoint::bind(([127, 0, 0, 1], 0), identity, Config::default()) })?;
    let (to, trust) =
        (line::to(listener.local_addr()?, mbit_per_s)?, Trust::fingerprint(listener.fingerprint()));
    let accepted = accepting.spawn(async move {
        let session = listener.accept().await.ok_or("the listener was closed")?.accept().await?;
        Ok::<_, Problem>((session, listener))
    });
    let here = dialing.block_on(async {
        let client = Endpoint::client(Identity::generate()?, Config::default())?;
        Ok::<_, Problem>((client.connect(to, trust).await?, client))
    })?;
    let there = accepting.block_on(accepted)??;
    let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
    let other = ChannelConfig::new(delivery);
    let (talk, _) = dialing.block_on(here.0.open("chat", ordered.clone()))?;
    let (give, _) = dialing.block_on(here.0.open("files", other.clone()))?;
    let (_, hear) = accepting.block_on(there.0.open("chat", ordered))?;
    let (_, take) = accepting.block_on(there.0.open("files", other))?;
    Ok(Pair {
        talk: Half { half: talk, _kept: here.clone() },
        hear: Half { half: hear, _kept: there.clone() },
        give: Half { half: give, _kept: here },
        take: Half { half: take, _kept: there },
    })
}

impl Talk for Half<Channel> {
    async fn say(&mut self, line: Bytes) -> Result<(), Problem> {
        drop(self.half.send(line).await?);
        Ok(())
    }
}

impl Hear for Half<Inbox> {
    async fn line(&mut self) -> Result<Bytes, Problem> {
        Ok(self.half.recv().await.ok_or("the chat has ended")?.payload().clone())
    }
}

impl Give for Half<Channel> {
    async fn give(&mut self, payload: Bytes) -> Result<(), Problem> {
        Ok(self.half.send(payload).await?.await?)
    }
}

impl Take for Half<Inbox> {
    async fn take(&mut self) -> Result<Bytes, Problem> {
        Ok(self.half.recv().await.ok_or("the transfers have ended")?.payload().clone())
    }
}
