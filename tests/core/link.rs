//! A fake connection between a dialer and an acceptor: a control stream, and what carries data, each with delays of its
//! own. What is sent travels as the bytes that the wire codec makes of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bowline::error::CloseCode;
use bowline::id::{ChannelId, Epoch, SessionId};
use bowline::protocol::types::{LinkId, link_room};
use bowline::wire::control::ControlDecoder;
use bowline::wire::{Control, Frame, MAX_CONTROL, control};
use bytes::{Bytes, BytesMut};

use crate::data_pipe::DataPipe;
use crate::rng::Rng;
use crate::settings::Tally;

/// Which end of a link, and which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Dialer,
    Acceptor,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// How the network treats what is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) delay_ms: (u64, u64),
    pub(crate) datagram_loss: u64,
    pub(crate) datagram_copy: u64,
}

impl Weather {
    pub(crate) const CALM: Self = Self { delay_ms: (10, 10), datagram_loss: 0, datagram_copy: 0 };
}

/// What decides how something fares that is sent now.
pub(crate) struct Sky<'a> {
    pub(crate) weather: Weather,
    pub(crate) now: Instant,
    pub(crate) rng: &'a mut Rng,
    pub(crate) tally: &'a mut Tally,
}

impl Sky<'_> {
    pub(crate) fn delay(&mut self) -> Duration {
        let (low, high) = self.weather.delay_ms;
        Duration::from_millis(self.rng.range(low, high))
    }

    /// When it arrives.
    pub(crate) fn later(&mut self) -> Instant {
        self.now + self.delay()
    }
}

/// Bytes on their way, in order, and when each piece arrives.
pub(crate) type Bytestream = VecDeque<(Instant, Bytes)>;

/// The process that writes to a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    pub(crate) session: SessionId,
    pub(crate) epoch: Epoch,
    /// When its clock began.
    pub(crate) born: Instant,
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Pipe {
    control: Bytestream,
    decoder: ControlDecoder,
    data: DataPipe,
    /// The sending end has closed the connection.
    close: Option<(Instant, CloseCode, String)>,
    /// Frames that have arrived.
    pub(crate) arrived: u64,
    /// Who writes to it.
    pub(crate) writer: Option<Writer>,
    /// The shortest time that something took whose time of writing it said.
    least: Option<Duration>,
    /// Bytes of room that the sender will be given back, and when.
    pub(crate) refill: VecDeque<(Instant, usize)>,
}

/// What comes out of a pipe.
#[derive(Debug)]
pub(crate) enum Arrival {
    Frame(Frame),
    /// What came together in a datagram.
    Datagram(Vec<Frame>),
    Closed(CloseCode, String),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) exporter: [u8; 32],
    pub(crate) to_acceptor: Pipe,
    pub(crate) to_dialer: Pipe,
    /// Whether each end's owner still has it.
    pub(crate) dialer_open: bool,
    pub(crate) acceptor_open: bool,
    /// Nothing arrives before then.
    pub(crate) silent_until: Option<Instant>,
    /// Nothing that is sent now will ever arrive.
    pub(crate) cut: bool,
    /// When each end notices that it is lost.
    pub(crate) notice: Vec<(Instant, Side)>,
}

impl Link {
    pub(crate) fn new(id: LinkId, exporter: [u8; 32]) -> Self {
        Self {
            id,
            exporter,
            to_acceptor: Pipe::new(),
            to_dialer: Pipe::new(),
            dialer_open: true,
            acceptor_open: true,
            silent_until: None,
            cut: false,
            notice: Vec::new(),
        }
    }

    pub(crate) fn open(&mut self, side: Side) -> &mut bool {
        match side {
            Side::Dialer => &mut self.dialer_open,
            Side::Acceptor => &mut self.acceptor_open,
        }
    }

    /// The direction that arrives at this side.
    pub(crate) fn towards(&mut self, side: Side) -> &mut Pipe {
        match side {
            Side::Dialer => &mut self.to_dialer,
            Side::Acceptor => &mut self.to_acceptor,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.notice.is_empty()
            && ((!self.dialer_open && !self.acceptor_open)
                || (self.to_acceptor.is_empty() && self.to_dialer.is_empty() && self.cut))
    }

    /// The connection dies: of each lane a prefix may still arrive.
    pub(crate) fn kill(&mut self, keep_percent: u64, rng: &mut Rng) -> u64 {
        self.cut = true;
        self.to_acceptor.truncate(keep_percent, rng) + self.to_dialer.truncate(keep_percent, rng)
    }
}

impl Pipe {
    fn new() -> Self {
        Self {
            control: Bytestream::new(),
            decoder: ControlDecoder::new(MAX_CONTROL),
            data: DataPipe::default(),
            close: None,
            arrived: 0,
            writer: None,
            least: None,
            refill: VecDeque::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.control.is_empty() && self.close.is_none() && self.data.is_empty()
    }

    /// Sends a frame as bytes; a control frame may arrive in two pieces.
    pub(crate) fn send(&mut self, frame: &Frame, sky: &mut Sky<'_>) {
        let after = sky.later();
        match frame {
            Frame::Control(frame) => {
                let mut bytes = BytesMut::new();
                control::encode(frame, &mut bytes);
                let mut bytes = bytes.freeze();
                if sky.rng.percent(20) {
                    let first = bytes.split_to(sky.rng.range(0, bytes.len() as u64) as usize);
                    put(&mut self.control, after, first);
                }
                let after = after + if sky.rng.percent(20) { sky.delay() } else { Duration::ZERO };
                put(&mut self.control, after, bytes);
            }
            Frame::Data(data) => {
                self.data.send(data, after, sky);
                self.refill.push_back((after, link_room(data.payload.len())));
            }
            Frame::Body(body) => {
                self.data.send_piece(body, after, sky);
                self.refill.push_back((after, link_room(body.bytes.len())));
            }
            Frame::Heartbeat(beat) => self.data.send_beat(*beat, after, sky),
        }
    }

    /// The sender has nothing more to say for now.
    pub(crate) fn flush(&mut self, sky: &mut Sky<'_>) {
        self.data.flush(sky);
    }

    /// The sender writes nothing more of a large message.
    pub(crate) fn abandon(&mut self, channel: ChannelId, sequence: u64, sky: &mut Sky<'_>) {
        self.data.abandon(channel, sequence, sky);
    }

    /// The sending end closes. With `outruns`, the news overtakes what is under way.
    pub(crate) fn close(&mut self, code: CloseCode, reason: String, outruns: bool, sky: &mut Sky<'_>) {
        let mut at = sky.later();
        if !outruns {
            at = at.max(self.last());
        }
        self.close.get_or_insert((at, code, reason));
    }

    fn last(&self) -> Instant {
        let control = self.control.back().map(|(at, _)| *at);
        let last = self.data.last_at().into_iter().chain(control).max();
        last.or(self.close.as_ref().map(|(at, ..)| *at)).unwrap_or_else(crate::world::epoch)
    }

    fn truncate(&mut self, keep_percent: u64, rng: &mut Rng) -> u64 {
        self.data.truncate(keep_percent, rng) + truncate(&mut self.control, keep_percent, rng)
    }

    /// When something arrives next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let control = self.control.front().map(|(at, _)| *at);
        let close = self.close.as_ref().map(|(at, ..)| *at);
        control.into_iter().chain(self.data.next_at()).chain(close).min()
    }

    /// What arrives by `now`, one piece of one stream, or one datagram.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<Arrival> {
        if let Some(arrival) = self.data.take_datagram(now) {
            self.arrived += 1;
            return vec![arrival];
        }
        if let Some((_, bytes)) = self.control.front_if(|(at, _)| *at <= now) {
            self.arrived += 1;
            self.decoder.push(&bytes);
            let mut frames = Vec::new();
            while let Some(control) = self.decoder.next().expect("what was encoded is decoded") {
                frames.push(Arrival::Frame(Frame::Control(control)));
            }
            return frames;
        }
        if self.data.take_bytes(now) {
            self.arrived += 1;
            return Vec::new();
        }
        match self.close.take_if(|(at, ..)| *at <= now) {
            Some((_, code, reason)) => vec![Arrival::Closed(code, reason)],
            None => Vec::new(),
        }
    }

    /// What arrives may say when it was written. By how much its reader can be wrong about the sender's clock.
    pub(crate) fn note_clock(&mut self, frame: &Frame, now: Instant) -> Duration {
        let written = match frame {
            Frame::Data(data) => data.deadline.map(|deadline| deadline.sent_ms),
            Frame::Body(body) => body.deadline.map(|deadline| deadline.sent_ms),
            Frame::Control(Control::Sending(sending)) => Some(sending.clock_ms),
            Frame::Control(_) | Frame::Heartbeat(_) => None,
        };
        if let (Some(written), Some(writer)) = (written, &self.writer) {
            let took = now.saturating_duration_since(writer.born + Duration::from_millis(written));
            self.least = Some(self.least.map_or(took, |least| least.min(took)));
        }
        self.least.unwrap_or_default()
    }

    /// Streams with frames that have arrived and were not taken.
    pub(crate) fn waiting(&self) -> Vec<(u64, ChannelId)> {
        self.data.waiting()
    }

    pub(crate) fn pop_waiting(&mut self, stream: u64) -> Option<Frame> {
        self.data.pop_waiting(stream)
    }

    /// Room that the sender gets back by `now`.
    pub(crate) fn refilled(&mut self, now: Instant) -> usize {
        let mut bytes = 0;
        while let Some((_, more)) = self.refill.front_if(|(at, _)| *at <= now) {
            bytes += more;
        }
        bytes
    }
}

pub(crate) trait FrontIf<T> {
    fn front_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T>;
}

impl<T> FrontIf<T> for VecDeque<T> {
    fn front_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        if self.front().is_some_and(wanted) { self.pop_front() } else { None }
    }
}

/// Puts bytes behind those that are on their way.
pub(crate) fn put(stream: &mut Bytestream, at: Instant, bytes: Bytes) {
    let at = stream.back().map_or(at, |(last, _)| at.max(*last));
    stream.push_back((at, bytes));
}

/// The link dies: perhaps a beginning still arrives. Returns how many pieces do not.
pub(crate) fn truncate(stream: &mut Bytestream, keep_percent: u64, rng: &mut Rng) -> u64 {
    let keep = if rng.percent(keep_percent) { rng.range(0, stream.len() as u64) as usize } else { 0 };
    let lost = (stream.len() - keep) as u64;
    stream.truncate(keep);
    lost
}
