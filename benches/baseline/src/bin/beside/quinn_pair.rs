//! A connection of quinn, with a stream for the chat that goes before all others, and a stream for each transfer.

use bytes::{Bytes, BytesMut};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::runtime::Runtime;

use crate::rounds::{Give, Hear, Pair, Take, Talk};
use crate::transport;
use crate::{Problem, line};

/// Read at once.
const CHUNK: usize = 64 * 1024;

pub(crate) struct Talker {
    chat: SendStream,
    _kept: Endpoint,
}
pub(crate) struct Hearer {
    chat: RecvStream,
    _kept: Endpoint,
}
pub(crate) struct Giver(Connection);
pub(crate) struct Taker(Connection);

pub(crate) fn connect(
    dialing: &Runtime,
    accepting: &Runtime,
    mbit_per_s: Option<u32>,
) -> Result<Pair<Talker, Hearer, Giver, Taker>, Problem> {
    let (listener, fingerprint) =
        accepting.block_on(async { transport::listen(([127, 0, 0, 1], 0).into()) })?;
    let to = line::to(listener.local_addr()?, mbit_per_s)?;
    let accepted = accepting.spawn(async move {
        let connection = listener.accept().await.ok_or("the listener was closed")?.await?;
        let mut chat = connection.accept_uni().await?;
        let mut hello = [0];
        chat.read_exact(&mut hello).await?;
        Ok::<_, Problem>((connection, chat, listener))
    });
    let (connection, chat, client) = dialing.block_on(async {
        let client = transport::dialer(to, fingerprint)?;
        let connection = client.connect(to, "localhost")?.await?;
        let mut chat = connection.open_uni().await?;
        chat.set_priority(1)?;
        chat.write_all(&[0]).await?;
        Ok::<_, Problem>((connection, chat, client))
    })?;
    let (there, lines, listener) = accepting.block_on(accepted)??;
    Ok(Pair {
        talk: Talker { chat, _kept: client },
        hear: Hearer { chat: lines, _kept: listener },
        give: Giver(connection),
        take: Taker(there),
    })
}

impl Talk for Talker {
    async fn say(&mut self, line: Bytes) -> Result<(), Problem> {
        Ok(self.chat.write_chunk(line).await?)
    }
}

impl Hear for Hearer {
    async fn line(&mut self) -> Result<Bytes, Problem> {
        let mut line = vec![0; 9];
        self.chat.read_exact(&mut line).await?;
        Ok(line.into())
    }
}

impl Give for Giver {
    async fn give(&mut self, payload: Bytes) -> Result<(), Problem> {
        let (mut out, mut done) = self.0.open_bi().await?;
        out.write_chunk(payload).await?;
        out.finish()?;
        Ok(done.read_exact(&mut [0]).await?)
    }
}

impl Take for Taker {
    async fn take(&mut self) -> Result<Bytes, Problem> {
        let (mut done, mut body) = self.0.accept_bi().await?;
        // Kept whole, as an application would.
        let mut whole = BytesMut::new();
        while let Some(chunk) = body.read_chunk(CHUNK, true).await? {
            whole.extend_from_slice(&chunk.bytes);
        }
        done.write_all(&[1]).await?;
        done.finish()?;
        Ok(whole.freeze())
    }
}
