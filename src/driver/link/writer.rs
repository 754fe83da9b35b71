//! The sending side of a link: control frames first, then heartbeats and other datagrams, then the streams in turn.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, SendStream, VarInt, WriteError};

use super::datagrams::Datagrams;
use super::log::{self, Way};
use super::outflow::poll_write;
use super::streams::{Lost, Streams};
use super::window::SendWindow;
use crate::driver::environment::Environment;
use crate::driver::transport::UNI_STREAMS;
use crate::error::CloseCode;
use crate::id::{ChannelId, Sequence};
use crate::protocol::types::{LinkId, LinkSample};
use crate::wire::{Carrier, Control, Data, Frame, WireError, control, heartbeat};

/// Streams permitted to the peer beyond its channels: those of messages that travel alone, and of former lanes not yet read
/// to the end. quinn keeps some 50 bytes for each.
const STREAMS_SPARE: usize = 64;

/// Control frames that may wait for the peer to read them. News of sessions is far less than that: this is a peer that
/// makes us answer and does not listen, or a path that has been dead for long.
const CONTROL_MAX: usize = 8 * 1024 * 1024;

/// How long a closing link waits until its last control frames are acknowledged, in round trips and at most.
const LINGER_RTTS: u32 = 3;
const LINGER_MIN: Duration = Duration::from_millis(20);
const LINGER_MAX: Duration = Duration::from_millis(500);

/// How long the socket of a dialed connection stays to repeat that the connection is closed.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Writer {
    pub(crate) id: LinkId,
    connection: Connection,
    socket: Option<quinn::Endpoint>,
    control: SendStream,
    /// Control frames that quinn has not taken, and the beginning of them, which it has seen.
    queued: BytesMut,
    offered: Bytes,
    datagrams: Datagrams,
    streams: Streams,
    window: SendWindow,
    /// Messages, and pieces of large ones, have come to be written.
    pushed: (bool, bool),
    /// Room to give back.
    freed: usize,
    /// The connection is gone; the machine will hear of it from the reader.
    lost: bool,
    /// What the peer did that it must not.
    violation: Option<&'static str>,
    remote: SocketAddr,
    streams_permitted: usize,
}

impl Writer {
    pub(super) fn new(
        id: LinkId,
        connection: Connection,
        socket: Option<quinn::Endpoint>,
        control: SendStream,
    ) -> Self {
        let remote = connection.remote_address();
        let window = SendWindow::new(&connection);
        Self {
            id,
            streams: Streams::new(connection.clone()),
            connection,
            socket,
            control,
            queued: BytesMut::new(),
            offered: Bytes::new(),
            datagrams: Datagrams::new(),
            window,
            pushed: (false, false),
            freed: 0,
            lost: false,
            violation: None,
            remote,
            streams_permitted: UNI_STREAMS as usize,
        }
    }

    /// Queues a frame. A message or a piece of one has its channel's `priority`.
    pub(crate) fn push(&mut self, frame: Frame, priority: i8) {
        if self.lost {
            return;
        }
        log::frame(Way::Sent, &frame);
        match frame {
            Frame::Control(frame) => self.push_control(&frame),
            Frame::Heartbeat(beat) => self.datagrams.push_beat(heartbeat::encode(beat)),
            Frame::Data(data) => {
                self.pushed.0 = true;
                self.push_data(data, priority);
            }
            Frame::Body(body) => {
                self.pushed.1 = true;
                let channel = body.channel;
                let pushed = self.streams.push_body(body, priority);
                self.check(channel, pushed);
            }
        }
    }

    /// Queues a datagram of padding.
    pub(crate) fn probe(&mut self) {
        self.datagrams.push_probe();
    }

    /// Goes on from another local socket, with everything that this connection is: for a dialed one, which has its socket for
    /// itself (rule H5).
    pub(crate) fn rebind(&mut self, env: &Environment) {
        let Some(endpoint) = &self.socket else { return };
        let unspecified: SocketAddr = match self.remote {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        match env.sockets.bind(unspecified).and_then(|socket| endpoint.rebind_abstract(socket)) {
            Ok(()) => tracing::debug!(link = self.id.0, "another socket"),
            Err(error) => tracing::debug!(link = self.id.0, %error, "no other socket"),
        }
    }

    /// Writes nothing more of a large message.
    pub(crate) fn abandon(&mut self, channel: ChannelId, sequence: Sequence) {
        self.freed += self.streams.abandon(channel, sequence);
    }

    fn push_control(&mut self, frame: &Control) {
        control::encode(frame, &mut self.queued);
        if self.queued.len() > CONTROL_MAX {
            tracing::warn!("the peer does not read the control stream");
            self.queued = BytesMut::new();
            self.give_up("the control stream is not read");
        }
    }

    /// The session goes on without this link.
    fn give_up(&mut self, why: &str) {
        super::close(&self.connection, CloseCode::Reattach, why);
        self.lost = true;
    }

    fn push_data(&mut self, data: Data, priority: i8) {
        let channel = data.channel;
        let pushed = match data.carrier {
            Carrier::Lane => self.streams.push_lane(data, priority),
            Carrier::Stream => self.streams.push_parcel(data, priority),
            Carrier::Datagram | Carrier::Fragments => {
                self.datagrams.push(data, priority);
                Ok(())
            }
        };
        self.check(channel, pushed);
    }

    fn check(&mut self, channel: ChannelId, pushed: Result<(), WireError>) {
        if let Err(error) = pushed {
            // What is on the stream cannot be taken back; another link can say it anew.
            tracing::error!(%channel, %error, "a message cannot be written to this link");
            self.give_up("this link cannot go on");
        }
    }

    /// Writes what quinn takes. Yields the bytes of channel data that the link can take anew.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> usize {
        if !self.lost {
            let (messages, pieces) = std::mem::take(&mut self.pushed);
            self.window.note(messages, pieces, now);
            if pieces {
                self.window.refresh(&self.connection, now);
            }
            self.poll_control(cx);
            if let Err(Lost) = self.poll_messages(cx, now) {
                self.lost = true;
            }
        }
        std::mem::take(&mut self.freed)
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), Lost> {
        self.freed += self.datagrams.poll(cx, &self.connection, &mut self.streams)?;
        self.freed += self.streams.poll(cx, &mut self.window, now)?;
        Ok(())
    }

    fn poll_control(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.offered.is_empty() {
                self.offered = self.queued.split().freeze();
            }
            if self.offered.is_empty() {
                self.window.set_reserve(&self.connection, false);
                return;
            }
            match poll_write(&mut self.control, cx, std::slice::from_mut(&mut self.offered)) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    if matches!(error, WriteError::Stopped(_)) {
                        self.violation = Some("the control stream is not read (rule W4)");
                    }
                    self.lost = true;
                    return;
                }
                Poll::Pending if self.window.set_reserve(&self.connection, true) => {}
                Poll::Pending => return,
            }
        }
    }

    /// What the peer did that it must not, told once.
    pub(crate) fn take_violation(&mut self) -> Option<&'static str> {
        self.violation.take()
    }

    /// What the machine wants to know of the transport.
    pub(crate) fn sample(&mut self, now: Instant) -> LinkSample {
        let sample = super::sample(&self.connection);
        self.window.note_rtt(sample.rtt, now);
        sample
    }

    /// The peer's address, as it was last looked at.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The peer's address before and now, if it is another than the last time.
    pub(crate) fn take_new_remote(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        let remote = self.connection.remote_address();
        let former = std::mem::replace(&mut self.remote, remote);
        (former != remote).then_some((former, remote))
    }

    /// Lets the peer have a stream for each of this many channels.
    pub(crate) fn permit_streams(&mut self, channels: usize) {
        let wanted = channels + STREAMS_SPARE;
        if wanted > self.streams_permitted
            && let Ok(streams) = u32::try_from(wanted)
        {
            self.streams_permitted = wanted;
            self.connection.set_max_concurrent_uni_streams(VarInt::from_u32(streams));
        }
    }

    /// Closes the link, after its last control frames have arrived or it would take too long. A close can outrun
    /// them, so its reason says the same in short.
    pub(crate) async fn close(mut self, env: Arc<Environment>, code: CloseCode, reason: String) {
        if self.connection.close_reason().is_none() {
            let linger = (LINGER_RTTS * self.connection.rtt()).clamp(LINGER_MIN, LINGER_MAX);
            env.timeout(linger, self.flush()).await;
        }
        super::close(&self.connection, code, &reason);
        if let Some(socket) = self.socket.take() {
            let closing = env.closing();
            env.clone().spawn(async move {
                env.timeout(DRAIN_MAX, socket.wait_idle()).await;
                drop(closing);
            });
        }
    }

    async fn flush(&mut self) {
        for mut bytes in [std::mem::take(&mut self.offered), self.queued.split().freeze()] {
            while !bytes.is_empty() {
                if self.control.write_chunks(std::slice::from_mut(&mut bytes)).await.is_err() {
                    return;
                }
            }
        }
        if self.control.finish().is_ok() {
            // Whichever way it ended, there is nothing left to wait for.
            let _ = self.control.stopped().await;
        }
    }
}

#[cfg(test)]
mod tests;
