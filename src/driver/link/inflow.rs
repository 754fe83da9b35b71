//! One unidirectional stream on its way in: a lane, messages that travel alone, or a large one in pieces.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use quinn::{ReadError, RecvStream, VarInt};

use super::CHUNK_MAX;
use super::log::{self, Way};
use super::reader::{now, unpinned, violation};
use crate::driver::shared::{Shared, State};
use crate::id::ChannelId;
use crate::protocol::types::{LinkId, Readiness};
use crate::wire::data::{Limits, StreamDecoder, StreamHeader};
use crate::wire::{Frame, WireError};

/// Chunks taken from quinn at once: what the packets of one turn of the connection have brought.
const CHUNKS: usize = 32;

/// See the module.
pub(super) struct Inflow {
    shared: Arc<Shared>,
    link: LinkId,
    stream: RecvStream,
    decoder: StreamDecoder,
    header: Option<StreamHeader>,
    /// The session has taken messages of its channel on this link.
    known: bool,
    /// What is whole and was not handed over.
    batch: Vec<Frame>,
}

/// Why a stream is read no further.
pub(super) enum End {
    /// Everything on it was read, or its sender gave it up.
    Finished,
    /// The link is not heard any more.
    Gone,
    /// The connection is gone.
    Lost,
    Violation(String),
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Violation(error.to_string())
    }
}

impl Inflow {
    pub(super) fn new(shared: Arc<Shared>, link: LinkId, stream: RecvStream) -> Self {
        let decoder = StreamDecoder::new(Limits::new(shared.env.config.max_message_size));
        Self { shared, link, stream, decoder, header: None, known: false, batch: Vec::new() }
    }

    /// Takes what is there already, one chunk and what comes with it: all of a message that travels alone. `Some`: there
    /// will be no more.
    pub(super) fn read_now(&mut self) -> Option<End> {
        // The second time only to see whether that was all: this one may have to wait for its channel.
        for limit in [CHUNK_MAX, 1] {
            let read = now(self.stream.read_chunk(limit, true))?;
            if let Err(end) = self.take(read.map(|chunk| chunk.map(|chunk| [chunk.bytes]))) {
                return Some(end);
            }
        }
        None
    }

    /// Reads to the end, unless that was reached, and hands over what has come. While the session does not take it,
    /// nothing more is read, and QUIC's flow control stops the peer.
    pub(super) async fn run(mut self, mut end: Option<End>) {
        let end = loop {
            if let Some(gone) = self.hand_over().await {
                break gone;
            }
            match end {
                Some(end) => break end,
                None => end = self.read().await.err(),
            }
        };
        self.stop(end);
    }

    /// Ends reading.
    pub(super) fn stop(mut self, end: End) {
        match end {
            End::Finished | End::Lost => {}
            End::Gone => {
                // Refused only if the stream has ended already.
                let _ = self.stream.stop(VarInt::from_u32(0));
            }
            End::Violation(what) => violation(&self.shared, self.link, what),
        }
    }

    /// Whether nothing is left to hand over.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Feeds what has come, if the session takes it.
    pub(super) fn feed(&mut self, state: &mut State, now: Instant) -> Readiness {
        let Some(header) = self.header else { return Readiness::Wait };
        let channel = header.channel();
        let readiness = state.machine.readiness(self.link, channel);
        if readiness == Readiness::Ready {
            self.known = true;
            for frame in self.batch.drain(..) {
                log::frame(Way::Received, &frame);
                state.machine.handle_frame(self.link, frame, now);
            }
        }
        readiness
    }

    /// Feeds what has come, as soon as the session takes it.
    async fn hand_over(&mut self) -> Option<End> {
        let channel = self.header?.channel();
        while !self.known || !self.batch.is_empty() {
            let shared = self.shared.clone();
            match shared.feed(|state, now| self.feed(state, now)) {
                Readiness::Ready => {}
                Readiness::Gone => return Some(End::Gone),
                Readiness::Wait => self.decided(channel).await,
            }
        }
        None
    }

    /// Waits until the session takes messages of the channel on this link, or never will.
    async fn decided(&self, channel: ChannelId) {
        let link = self.link;
        self.shared
            .until(|state| match state.machine.readiness(link, channel) {
                Readiness::Wait => None,
                Readiness::Ready | Readiness::Gone => Some(()),
            })
            .await;
    }

    /// Waits for more, and takes apart what there is.
    async fn read(&mut self) -> Result<(), End> {
        if self.known {
            return poll_fn(|cx| self.poll_chunks(cx)).await;
        }
        let read = self.stream.read_chunk(CHUNK_MAX, true).await;
        self.take(read.map(|chunk| chunk.map(|chunk| [chunk.bytes])))
    }

    /// The chunks that are there, in one go. quinn remembers whom to wake for the stream, not the future.
    fn poll_chunks(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        let read = ready!(pin!(self.stream.read_chunks(&mut chunks)).poll(cx));
        Poll::Ready(self.take(read.map(|read| read.map(|read| chunks.into_iter().take(read)))))
    }

    /// Takes apart what was read.
    fn take(&mut self, read: Result<Option<impl IntoIterator<Item = Bytes>>, ReadError>) -> Result<(), End> {
        match read {
            Ok(Some(chunks)) => {
                chunks.into_iter().for_each(|chunk| self.decoder.push(unpinned(chunk)));
                self.decode()
            }
            Ok(None) => Err(self.end()),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// All that is whole, before anyone is bothered.
    fn decode(&mut self) -> Result<(), End> {
        if self.header.is_none() {
            self.header = self.decoder.header()?;
        }
        while let Some(frame) = self.decoder.next()? {
            self.batch.push(frame);
        }
        Ok(())
    }

    /// The stream has ended here.
    fn end(&self) -> End {
        self.decoder.finish().map_or_else(End::from, |()| End::Finished)
    }

    fn broken(&self, error: ReadError) -> End {
        match (error, self.header) {
            (ReadError::Reset(_), Some(StreamHeader::Records { .. })) => {
                End::Violation("a data stream was reset".to_owned())
            }
            // What was given up, perhaps before anything of it was read.
            (ReadError::Reset(_), Some(StreamHeader::Body(_)) | None) => End::Finished,
            _ => End::Lost,
        }
    }
}
