//! The receiving side of a link: a task for each stream, and one for everything else.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, ReadError, RecvStream, VarInt};
use tracing::{Instrument, debug_span};

use super::{CHUNK_MAX, Reader};
use crate::driver::shared::{Shared, State};
use crate::driver::{dialer, transport};
use crate::id::ChannelId;
use crate::protocol::types::{LinkId, Readiness, Role};
use crate::wire::control::ControlDecoder;
use crate::wire::data::RecordDecoder;
use crate::wire::{Data, Frame, MAX_CONTROL, MAX_HELLO, WireError, heartbeat};

/// How long a peer may take to close the connection after it has finished the control stream. Longer than it waits
/// for the acknowledgement of its last frames.
const CLOSE_EXPECTED: Duration = Duration::from_secs(2);

/// Reads everything that comes on a link and feeds it to the session, until the connection is gone.
pub(crate) fn spawn_readers(shared: &Arc<Shared>, link: LinkId, reader: Reader) {
    let Reader { connection, control, decoder } = reader;
    let span = debug_span!(parent: &shared.span, "link", id = link.0, remote = %connection.remote_address());
    let controls = Controls { stream: control, decoder, attached: false };
    let env = &shared.env;
    env.spawn(controls.run(shared.clone(), link, connection.clone()).instrument(span.clone()));
    env.spawn(supervise(shared.clone(), link, connection).instrument(span));
}

/// Takes what is not on the control stream: data streams, heartbeats, and the connection's end.
async fn supervise(shared: Arc<Shared>, link: LinkId, connection: Connection) {
    let error = loop {
        tokio::select! {
            biased;
            error = connection.closed() => break error,
            Ok(stream) = connection.accept_uni() => {
                let lane = Lane { shared: shared.clone(), link, stream };
                shared.env.spawn(lane.run().in_current_span());
            }
            Ok(datagram) = connection.read_datagram() => {
                tracing::trace!(bytes = datagram.len(), "datagram");
                shared.feed(|state, now| match *datagram {
                    [byte] => {
                        let beat = Frame::Heartbeat(heartbeat::decode(byte));
                        state.machine.handle_frame(link, beat, now);
                    }
                    _ => {
                        let what = format!("datagram of {} bytes, it must be 1", datagram.len());
                        state.machine.handle_violation(link, &what, now);
                    }
                });
            }
        }
    };
    tracing::debug!(%error, "the connection is gone");
    shared.feed(|state, now| {
        state.machine.handle_link_down(link, super::end_of(&error), now);
        state.departures.push(link);
    });
    if shared.role == Role::Dialer && error != ConnectionError::LocallyClosed {
        shared.fail(dialer::explain_loss(&error, connection.remote_address()));
    }
}

fn violation(shared: &Shared, link: LinkId, what: String) {
    tracing::warn!(%what, "the peer broke the protocol");
    shared.feed(|state, now| state.machine.handle_violation(link, &what, now));
}

/// The control stream.
struct Controls {
    stream: RecvStream,
    decoder: ControlDecoder,
    /// Larger frames are allowed.
    attached: bool,
}

impl Controls {
    async fn run(mut self, shared: Arc<Shared>, link: LinkId, connection: Connection) {
        loop {
            // First what came together with the Hello.
            let taken = shared.feed(|state, now| {
                let mut taken = Ok(());
                loop {
                    match self.decoder.next() {
                        Ok(Some(frame)) => state.machine.handle_frame(link, Frame::Control(frame), now),
                        Ok(None) => break,
                        Err(error) => {
                            taken = Err(error);
                            break;
                        }
                    }
                    self.note_attached(state, link, &connection);
                }
                self.note_attached(state, link, &connection);
                taken
            });
            if let Err(error) = taken {
                return violation(&shared, link, error.to_string());
            }
            let limit = if self.attached { CHUNK_MAX } else { MAX_HELLO };
            match self.stream.read_chunk(limit, true).await {
                Ok(Some(chunk)) => self.decoder.push(&chunk.bytes),
                Ok(None) => break,
                Err(ReadError::Reset(_)) => {
                    return violation(&shared, link, "the control stream was reset".to_owned());
                }
                Err(_) => return,
            }
        }
        if let Err(error) = self.decoder.finish() {
            return violation(&shared, link, error.to_string());
        }
        if shared.env.timeout(CLOSE_EXPECTED, connection.closed()).await.is_none() {
            violation(&shared, link, "the control stream ended, the connection did not".to_owned());
        }
    }

    /// What comes from a session is believed to be as large as a session needs.
    fn note_attached(&mut self, state: &State, link: LinkId, connection: &Connection) {
        if !self.attached && state.machine.attached() == Some(link) {
            self.attached = true;
            self.decoder.set_limit(MAX_CONTROL);
            transport::widen(connection);
        }
    }
}

/// One data stream.
struct Lane {
    shared: Arc<Shared>,
    link: LinkId,
    stream: RecvStream,
}

/// Why a data stream is read no further.
enum LaneEnd {
    /// Everything on it was read.
    Finished,
    /// The link is not heard any more.
    Gone,
    /// The connection is gone.
    Lost,
    Violation(String),
}

impl From<WireError> for LaneEnd {
    fn from(error: WireError) -> Self {
        Self::Violation(error.to_string())
    }
}

impl Lane {
    async fn run(mut self) {
        match self.read().await {
            LaneEnd::Finished | LaneEnd::Lost => {}
            LaneEnd::Gone => {
                // Refused only if the stream has ended already.
                let _ = self.stream.stop(VarInt::from_u32(0));
            }
            LaneEnd::Violation(what) => violation(&self.shared, self.link, what),
        }
    }

    async fn read(&mut self) -> LaneEnd {
        let mut decoder = RecordDecoder::new(self.shared.env.config.max_message_size);
        let mut batch = Vec::new();
        loop {
            match self.stream.read_chunk(CHUNK_MAX, true).await {
                Ok(Some(chunk)) => decoder.push(chunk.bytes),
                Ok(None) => return decoder.finish().map_or_else(LaneEnd::from, |()| LaneEnd::Finished),
                Err(ReadError::Reset(_)) => return LaneEnd::Violation("a data stream was reset".to_owned()),
                Err(_) => return LaneEnd::Lost,
            }
            // All that is whole, before anyone is bothered.
            loop {
                match decoder.next() {
                    Ok(Some(data)) => batch.push(data),
                    Ok(None) => break,
                    Err(error) => return error.into(),
                }
            }
            if let Some(first) = batch.first() {
                let channel = first.channel;
                if let Some(end) = self.hand_over(channel, &mut batch).await {
                    return end;
                }
            }
        }
    }

    /// Feeds the messages to the session as soon as it takes them. While it does not, nothing more is read, and QUIC's
    /// flow control stops the peer.
    async fn hand_over(&self, channel: ChannelId, batch: &mut Vec<Data>) -> Option<LaneEnd> {
        loop {
            match self.feed(channel, batch) {
                Readiness::Ready => return None,
                Readiness::Gone => return Some(LaneEnd::Gone),
                Readiness::Wait => {}
            }
            let link = self.link;
            self.shared
                .until(|state| match state.machine.readiness(link, channel) {
                    Readiness::Wait => None,
                    Readiness::Ready | Readiness::Gone => Some(()),
                })
                .await;
        }
    }

    fn feed(&self, channel: ChannelId, batch: &mut Vec<Data>) -> Readiness {
        self.shared.feed(|state, now| {
            let readiness = state.machine.readiness(self.link, channel);
            if readiness == Readiness::Ready {
                for data in batch.drain(..) {
                    tracing::trace!(%channel, sequence = data.sequence, bytes = data.payload.len(), "received");
                    state.machine.handle_frame(self.link, Frame::Data(data), now);
                }
            }
            readiness
        })
    }
}
