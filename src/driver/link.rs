//! One QUIC connection of a session: its streams and datagrams to frames, and back.
//!
//! | carries | is |
//! |---|---|
//! | control frames | one bidirectional stream, opened by the dialer, ahead of everything else |
//! | messages in order | a unidirectional stream for each channel and direction, opened when first needed |
//! | other messages | datagrams, several in one or one in several; or a stream of their own |
//! | large messages | a stream of their own, in pieces |
//! | heartbeats | datagrams of one byte |
//!
//! The [`Writer`] belongs to the session's task, which polls it; the readers are tasks of their own, one for each
//! stream, and feed the session's state.

mod datagrams;
mod inflow;
mod lane;
mod log;
mod outflow;
mod reader;
mod streams;
#[cfg(test)]
mod testing;
mod window;
mod writer;

use self::log::Way;
use bytes::BytesMut;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};

pub(crate) use reader::spawn_readers;
pub(crate) use writer::Writer;

use crate::error::CloseCode;
use crate::protocol::types::{LinkEnd, LinkId, LinkInfo, LinkSample};
use crate::tls::PeerIdentity;
use crate::wire::control::ControlDecoder;
use crate::wire::{Control, MAX_HELLO, MAX_REASON, WireError, control};

/// Bytes of payload that may wait between the machine and quinn.
pub(crate) const INITIAL_ROOM: usize = 128 * 1024;

/// What a chunk read from a stream may have at most, in bytes.
const CHUNK_MAX: usize = 64 * 1024;

/// Hellos on one connection before it is closed.
pub(crate) const HELLOS_MAX: usize = 4;

/// The label of the exporter that proofs are bound to (rule S4).
const EXPORTER: &[u8] = b"EXPORTER-bowline-attach";

/// A connection whose handshake is complete and whose control stream is open, not yet handed to a session.
pub(crate) struct Established {
    pub(crate) link: LinkId,
    pub(crate) connection: Connection,
    /// The endpoint of a dialed connection, which has no other.
    pub(crate) socket: Option<quinn::Endpoint>,
    pub(crate) control: ControlStream,
    pub(crate) info: LinkInfo,
    /// `None`: anonymous.
    pub(crate) peer: Option<PeerIdentity>,
}

/// What the readers of a link start from.
pub(crate) struct Reader {
    connection: Connection,
    control: RecvStream,
    decoder: ControlDecoder,
    hellos: usize,
}

impl Established {
    pub(super) fn split(self) -> (LinkInfo, Writer, Reader) {
        let ControlStream { send, receive, decoder, hellos } = self.control;
        let reader = Reader { connection: self.connection.clone(), control: receive, decoder, hellos };
        (self.info, Writer::new(self.link, self.connection, self.socket, send), reader)
    }
}

/// The control stream while no machine drives it.
pub(crate) struct ControlStream {
    send: SendStream,
    receive: RecvStream,
    decoder: ControlDecoder,
    /// How many Hellos have been read.
    pub(crate) hellos: usize,
}

/// Why a control stream yields no frame.
pub(crate) enum ControlError {
    Lost,
    Malformed(WireError),
}

impl ControlStream {
    pub(crate) fn new((send, receive): (SendStream, RecvStream)) -> Self {
        // Refused only for a stream that is closed already, which the first write will tell.
        let _ = send.set_priority(i32::MAX);
        Self { send, receive, decoder: ControlDecoder::new(MAX_HELLO), hellos: 0 }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Result<Control, ControlError> {
        loop {
            if let Some(frame) = self.decoder.next().map_err(ControlError::Malformed)? {
                log::control(Way::Received, &frame);
                return Ok(frame);
            }
            match self.receive.read_chunk(MAX_HELLO, true).await {
                Ok(Some(chunk)) => self.decoder.push(&chunk.bytes),
                Ok(None) | Err(ReadError::Reset(_)) => {
                    return Err(ControlError::Malformed(WireError::Truncated("control stream")));
                }
                Err(_) => return Err(ControlError::Lost),
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: &Control) -> Result<(), WriteError> {
        let mut bytes = BytesMut::new();
        control::encode(frame, &mut bytes);
        log::control(Way::Sent, frame);
        self.send.write_chunk(bytes.freeze()).await
    }

    /// Ends the stream and waits until the peer has acknowledged everything on it.
    pub(crate) async fn finish(&mut self) {
        if self.send.finish().is_ok() {
            // Whichever way it ended, there is nothing left to wait for.
            let _ = self.send.stopped().await;
        }
    }
}

/// What binds a proof to this connection.
pub(crate) fn exporter(connection: &Connection) -> Result<[u8; 32], String> {
    let mut exporter = [0; 32];
    match connection.export_keying_material(&mut exporter, EXPORTER, b"") {
        Ok(()) => Ok(exporter),
        Err(error) => Err(format!("no TLS exporter: {error:?}")),
    }
}

/// Closes a connection for a reason that the peer is told.
pub(crate) fn close(connection: &Connection, code: CloseCode, reason: &str) {
    connection.close(VarInt::from_u32(code.value()), cut(reason).as_bytes());
}

/// What the machine wants to know of the transport.
pub(super) fn sample(connection: &Connection) -> LinkSample {
    let stats = connection.stats();
    LinkSample {
        rtt: stats.path.rtt,
        acks_received: stats.frame_rx.acks,
        datagrams_received: stats.udp_rx.datagrams,
        datagrams_sent: stats.udp_tx.datagrams,
    }
}

/// What the end of a connection means to the machine.
pub(crate) fn end_of(error: &ConnectionError) -> LinkEnd {
    if let ConnectionError::ApplicationClosed(close) = error
        && let Ok(code) = u32::try_from(close.error_code.into_inner())
    {
        let reason = cut(&String::from_utf8_lossy(&close.reason)).to_owned();
        return LinkEnd::Closed { code: CloseCode::from_value(code), reason };
    }
    LinkEnd::Lost(words_of(error))
}

/// What quinn says, without the control characters that a peer may have put into its reason.
pub(crate) fn words_of(error: &ConnectionError) -> String {
    error.to_string().escape_debug().to_string()
}

/// The beginning of a reason, as much as may travel.
fn cut(reason: &str) -> &str {
    (0..=MAX_REASON.min(reason.len())).rev().find_map(|end| reason.get(..end)).unwrap_or_default()
}
