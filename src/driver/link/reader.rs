//! The receiving side of a link: a task for each stream, and one for everything else.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Chunk, Connection, ConnectionError, ReadError, RecvStream, VarInt};
use tracing::{Instrument, debug_span};

use super::{CHUNK_MAX, HELLOS_MAX, Reader};
use crate::driver::shared::{Shared, State};
use crate::driver::{dialer, transport};
use crate::error::CloseCode;
use crate::id::ChannelId;
use crate::protocol::types::{LinkId, Readiness, Role};
use crate::wire::control::ControlDecoder;
use crate::wire::data::{Limits, StreamDecoder};
use crate::wire::{Control, Frame, MAX_CONTROL, MAX_HELLO, WireError, heartbeat};

/// Chunks below this are copied: one allocation a packet, and not one a message.
const COPY_BELOW: usize = 2 * 1024;

/// How long a peer may take to close the connection after it has finished the control stream. Longer than it waits
/// for the acknowledgement of its last frames.
const CLOSE_EXPECTED: Duration = Duration::from_secs(2);

/// Reads everything that comes on a link and feeds it to the session, until the connection is gone.
pub(crate) fn spawn_readers(shared: &Arc<Shared>, link: LinkId, reader: Reader) {
    let Reader { connection, control, decoder, hellos } = reader;
    let span = debug_span!(parent: &shared.span, "link", id = link.0, remote = %connection.remote_address());
    let env = &shared.env;
    let patience =
        (shared.role == Role::Acceptor).then(|| env.new_timer(env.now() + env.config.handshake_timeout));
    let controls = Controls { stream: control, decoder, attached: false, hellos, patience };
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
                if let [byte] = *datagram {
                    let beat = Frame::Heartbeat(heartbeat::decode(byte));
                    shared.feed(|state, now| state.machine.handle_frame(link, beat, now));
                } else {
                    // Padding of a probe, or of a later version (rule W12).
                    shared.env.count_dropped_datagram();
                }
            }
        }
    };
    tracing::debug!(error = super::words_of(&error), "the connection is gone");
    shared.feed(|state, now| {
        state.machine.handle_link_down(link, super::end_of(&error), now);
        state.departures.push(link);
    });
    // Its streams may wait for an attach that will not come, and the machine has no news of a link that never was.
    shared.notify_changed();
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
    /// Those read so far.
    hellos: usize,
    /// How long the dialer may take until it is attached.
    patience: Option<Pin<Box<dyn quinn::AsyncTimer>>>,
}

/// What has become of the frames in a chunk.
enum Taken {
    All,
    Malformed(WireError),
    TooManyHellos,
}

impl Controls {
    async fn run(mut self, shared: Arc<Shared>, link: LinkId, connection: Connection) {
        loop {
            // First what came together with the Hello.
            let taken = shared.feed(|state, now| {
                self.note_attached(state, link, &connection);
                loop {
                    match self.decoder.next() {
                        Ok(Some(frame)) => {
                            self.hellos += usize::from(matches!(frame, Control::Hello(_)));
                            state.machine.handle_frame(link, Frame::Control(frame), now);
                        }
                        Ok(None) => return Taken::All,
                        Err(error) => return Taken::Malformed(error),
                    }
                    self.note_attached(state, link, &connection);
                    if !self.attached && self.hellos >= HELLOS_MAX {
                        return Taken::TooManyHellos;
                    }
                }
            });
            match taken {
                Taken::All => {}
                Taken::Malformed(error) => return violation(&shared, link, error.to_string()),
                Taken::TooManyHellos => {
                    return violation(&shared, link, "too many Hellos on one connection".to_owned());
                }
            }
            match self.read().await {
                Some(Ok(Some(chunk))) => self.decoder.push(&chunk.bytes),
                Some(Ok(None)) => break,
                Some(Err(ReadError::Reset(_))) => {
                    return violation(&shared, link, "the control stream was reset".to_owned());
                }
                Some(Err(_)) => return,
                None => return super::close(&connection, CloseCode::Busy, "it took too long to attach"),
            }
        }
        if let Err(error) = self.decoder.finish() {
            return violation(&shared, link, error.to_string());
        }
        if shared.env.timeout(CLOSE_EXPECTED, connection.closed()).await.is_none() {
            violation(&shared, link, "the control stream ended, the connection did not".to_owned());
        }
    }

    /// The next chunk. `None`: the dialer takes too long to attach.
    async fn read(&mut self) -> Option<Result<Option<Chunk>, ReadError>> {
        let limit = if self.attached { CHUNK_MAX } else { MAX_HELLO };
        let mut chunk = pin!(self.stream.read_chunk(limit, true));
        let patience = &mut self.patience;
        poll_fn(|cx| match chunk.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => match patience {
                Some(timer) => timer.as_mut().poll(cx).map(|()| None),
                None => Poll::Pending,
            },
        })
        .await
    }

    /// What comes from a session is believed to be as large as a session needs.
    fn note_attached(&mut self, state: &State, link: LinkId, connection: &Connection) {
        if !self.attached && state.machine.attached() == Some(link) {
            self.attached = true;
            self.patience = None;
            self.decoder.set_limit(MAX_CONTROL);
            transport::widen(connection);
        }
    }
}

/// The chunk in memory of its own. A slice of what the socket received would keep all of it, up to 64 KiB of packets, for
/// as long as the application has not taken a message of a few bytes.
fn unpinned(chunk: Bytes) -> Bytes {
    if chunk.len() < COPY_BELOW { Bytes::copy_from_slice(&chunk) } else { chunk }
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
        let largest = self.shared.env.config.max_message_size;
        let mut decoder = StreamDecoder::new(Limits { record: largest, body: largest });
        let mut batch = Vec::new();
        let mut known = None;
        loop {
            match self.stream.read_chunk(CHUNK_MAX, true).await {
                Ok(Some(chunk)) => decoder.push(unpinned(chunk.bytes)),
                Ok(None) => return decoder.finish().map_or_else(LaneEnd::from, |()| LaneEnd::Finished),
                Err(ReadError::Reset(_)) => return LaneEnd::Violation("a data stream was reset".to_owned()),
                Err(_) => return LaneEnd::Lost,
            }
            if known.is_none() {
                match decoder.header() {
                    // Before that its messages are left to QUIC's flow control.
                    Ok(Some(header)) if self.is_taken(header.channel()).await => {
                        known = Some(header.channel())
                    }
                    Ok(Some(_)) => return LaneEnd::Gone,
                    Ok(None) => continue,
                    Err(error) => return error.into(),
                }
            }
            // All that is whole, before anyone is bothered.
            loop {
                match decoder.next() {
                    Ok(Some(frame)) => batch.push(frame),
                    Ok(None) => break,
                    Err(error) => return error.into(),
                }
            }
            if let Some(channel) = known
                && !batch.is_empty()
                && let Some(end) = self.hand_over(channel, &mut batch).await
            {
                return end;
            }
        }
    }

    /// Feeds the messages to the session as soon as it takes them. While it does not, nothing more is read, and QUIC's
    /// flow control stops the peer.
    async fn hand_over(&self, channel: ChannelId, batch: &mut Vec<Frame>) -> Option<LaneEnd> {
        loop {
            match self.feed(channel, batch) {
                Readiness::Ready => return None,
                Readiness::Gone => return Some(LaneEnd::Gone),
                Readiness::Wait => {}
            }
            self.is_taken(channel).await;
        }
    }

    /// Waits until the session takes messages of the channel on this link, or never will.
    async fn is_taken(&self, channel: ChannelId) -> bool {
        let link = self.link;
        self.shared
            .until(|state| match state.machine.readiness(link, channel) {
                Readiness::Wait => None,
                Readiness::Ready => Some(true),
                Readiness::Gone => Some(false),
            })
            .await
    }

    fn feed(&self, channel: ChannelId, batch: &mut Vec<Frame>) -> Readiness {
        self.shared.feed(|state, now| {
            let readiness = state.machine.readiness(self.link, channel);
            if readiness == Readiness::Ready {
                for frame in batch.drain(..) {
                    if let Frame::Data(data) = &frame {
                        tracing::trace!(%channel, sequence = data.sequence, bytes = data.payload.len(), "received");
                    }
                    state.machine.handle_frame(self.link, frame, now);
                }
            }
            readiness
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_packet_brought_keeps_nothing_but_itself() {
        let packets = Bytes::from(vec![7; 64 * 1024]);
        let small = unpinned(packets.slice(100..110));
        assert_eq!(small, packets.slice(100..110));
        assert!(!packets.as_ptr_range().contains(&small.as_ptr()));
        let large = unpinned(packets.slice(0..COPY_BELOW));
        assert_eq!(large.as_ptr(), packets.as_ptr());
    }
}
