//! The receiving side of a link: a task for each stream that takes time, and one for everything else.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{Chunk, Connection, ConnectionError, ReadError, RecvStream};
use tracing::{Instrument, debug_span};

use super::inflow::{End, Inflow};
use super::log::{self, Way};
use super::{CHUNK_MAX, HELLOS_MAX, Reader};
use crate::driver::shared::{Shared, State};
use crate::driver::{dialer, transport};
use crate::error::CloseCode;
use crate::protocol::types::{LinkId, Readiness, Role};
use crate::wire::control::ControlDecoder;
use crate::wire::data::Limits;
use crate::wire::data::datagram::{self, Datagram};
use crate::wire::{Control, Frame, MAX_CONTROL, MAX_HELLO, WireError};

/// Streams and datagrams taken at once, for one look at the session.
const STREAMS: usize = 32;
const DATAGRAMS: usize = 64;

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
    env.spawn(Arrivals { shared: shared.clone(), link, connection }.run().instrument(span));
}

/// Takes what is not on the control stream, and the connection's end.
struct Arrivals {
    shared: Arc<Shared>,
    link: LinkId,
    connection: Connection,
}

impl Arrivals {
    async fn run(self) {
        let Self { shared, link, connection } = &self;
        let error = loop {
            tokio::select! {
                biased;
                error = connection.closed() => break error,
                Ok(stream) = connection.accept_uni() => self.take_streams(stream),
                Ok(datagram) = connection.read_datagram() => self.take_datagrams(datagram),
            }
        };
        tracing::debug!(error = super::words_of(&error), "the connection is gone");
        shared.feed(|state, now| {
            state.machine.handle_link_down(*link, super::end_of(&error), now);
            state.departures.push(*link);
        });
        // Its streams may wait for an attach that will not come, and the machine has no news of a link that never was.
        shared.notify_changed();
        if shared.role == Role::Dialer && error != ConnectionError::LocallyClosed {
            shared.fail(dialer::explain_loss(&error, connection.remote_address()));
        }
    }

    /// Takes the streams that are there. One that is there as a whole is handed over at once, the others have tasks of
    /// their own.
    fn take_streams(&self, first: RecvStream) {
        let more = std::iter::from_fn(|| now(self.connection.accept_uni())?.ok());
        let streams = std::iter::once(first).chain(more).take(STREAMS);
        let begun = streams.map(|stream| {
            let mut inflow = Inflow::new(self.shared.clone(), self.link, stream);
            let end = inflow.read_now();
            (inflow, end)
        });
        let mut begun: Vec<_> = begun.collect();
        if begun.iter().any(|(inflow, _)| !inflow.is_empty()) {
            self.shared.feed(|state, now| {
                for (inflow, end) in begun.iter_mut().filter(|(inflow, _)| !inflow.is_empty()) {
                    if inflow.feed(state, now) == Readiness::Gone {
                        *end = Some(End::Gone);
                    }
                }
            });
        }
        for (inflow, end) in begun {
            match end {
                Some(end) if inflow.is_empty() || matches!(end, End::Gone) => inflow.stop(end),
                end => self.shared.env.spawn(inflow.run(end).in_current_span()),
            }
        }
    }

    /// Takes the datagrams that are there. Messages of lanes that the session does not know (yet) are dropped, as any
    /// datagram may be (rule C1).
    fn take_datagrams(&self, first: Bytes) {
        let more = std::iter::from_fn(|| now(self.connection.read_datagram())?.ok());
        let mut frames = Vec::new();
        let (mut dropped, mut broken) = (0, None);
        let limits = Limits::new(self.shared.env.config.max_message_size);
        for bytes in std::iter::once(first).chain(more).take(DATAGRAMS) {
            tracing::trace!(bytes = bytes.len(), "datagram");
            match take_apart(unpinned(bytes), limits, &mut frames) {
                Ok(true) => {}
                // Padding of a probe, or of a later version (rule W12).
                Ok(false) => dropped += 1,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        if !frames.is_empty() {
            dropped += self.shared.feed(|state, now| self.feed(state, frames, now));
        }
        self.shared.env.count_dropped_datagrams(dropped);
        if let Some(error) = broken {
            violation(&self.shared, self.link, error.to_string());
        }
    }

    /// Feeds what datagrams have brought. Yields how many of these nobody wanted.
    fn feed(&self, state: &mut State, frames: Vec<Frame>, now: Instant) -> u64 {
        let mut dropped = 0;
        // Mostly those of one lane come together.
        let mut asked = None;
        for frame in frames {
            let channel = match &frame {
                Frame::Data(data) => Some(data.channel),
                Frame::Body(body) => Some(body.channel),
                Frame::Control(_) | Frame::Heartbeat(_) => None,
            };
            if let Some(channel) = channel {
                let ready = match asked {
                    Some((same, ready)) if same == channel => ready,
                    _ => state.machine.readiness(self.link, channel) == Readiness::Ready,
                };
                asked = Some((channel, ready));
                if !ready {
                    dropped += 1;
                    continue;
                }
            }
            log::frame(Way::Received, &frame);
            state.machine.handle_frame(self.link, frame, now);
        }
        if asked.is_some() {
            state.sample(self.link, now, || super::sample(&self.connection));
        }
        dropped
    }
}

/// What a future yields, if it does so at once.
pub(super) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Adds what the datagram says to `frames`. Whether it says anything.
fn take_apart(datagram: Bytes, limits: Limits, frames: &mut Vec<Frame>) -> Result<bool, WireError> {
    match datagram::decode(datagram, limits)? {
        Datagram::Heartbeat(beat) => frames.push(Frame::Heartbeat(beat)),
        Datagram::Messages(messages) => {
            for data in messages {
                frames.push(Frame::Data(data?));
            }
        }
        Datagram::Fragment(body) => frames.push(Frame::Body(body)),
        Datagram::Padding | Datagram::Unknown(_) => return Ok(false),
    }
    Ok(true)
}

pub(super) fn violation(shared: &Shared, link: LinkId, what: String) {
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
                            log::control(Way::Received, &frame);
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
            // The close may have been lost. Whoever keeps the connection nevertheless gains nothing by it.
            tracing::debug!("the control stream ended, the connection did not");
            super::close(&connection, CloseCode::Reattach, "the control stream ended");
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
pub(super) fn unpinned(chunk: Bytes) -> Bytes {
    if chunk.len() < COPY_BELOW { Bytes::copy_from_slice(&chunk) } else { chunk }
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
