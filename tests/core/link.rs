//! A fake connection between a dialer and an acceptor: a control lane, a lane per channel, and datagrams, each with
//! delays of its own. What is sent travels as the bytes that the wire codec makes of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bowline::error::CloseCode;
use bowline::protocol::types::LinkId;
use bowline::wire::control::ControlDecoder;
use bowline::wire::data::{RecordDecoder, RecordEncoder};
use bowline::wire::{Data, Frame, MAX_CONTROL, control, heartbeat};
use bytes::{Bytes, BytesMut};

use crate::rng::Rng;

/// Largest message that any side of any test sends.
pub(crate) const LARGEST: usize = 128 * 1024;

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

/// Bytes on their way, in order, and when each piece arrives.
type Lane = VecDeque<(Instant, Bytes)>;

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Pipe {
    control: Lane,
    decoder: ControlDecoder,
    lanes: BTreeMap<u32, DataLane>,
    datagrams: Vec<(Instant, u8)>,
    /// The sending end has closed the connection.
    close: Option<(Instant, CloseCode, String)>,
    /// Frames that have arrived.
    pub(crate) arrived: u64,
    /// Bytes of room that the sender will be given back, and when.
    pub(crate) refill: VecDeque<(Instant, usize)>,
}

#[derive(Debug)]
struct DataLane {
    encoder: RecordEncoder,
    bytes: Lane,
    decoder: RecordDecoder,
    /// Arrived, and told to wait.
    waiting: VecDeque<Data>,
}

/// What comes out of a pipe.
#[derive(Debug)]
pub(crate) enum Arrival {
    Frame(Frame),
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
            control: Lane::new(),
            decoder: ControlDecoder::new(MAX_CONTROL),
            lanes: BTreeMap::new(),
            datagrams: Vec::new(),
            close: None,
            arrived: 0,
            refill: VecDeque::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.control.is_empty()
            && self.close.is_none()
            && self.datagrams.is_empty()
            && self.lanes.values().all(|lane| lane.bytes.is_empty() && lane.waiting.is_empty())
    }

    /// Sends a frame as bytes; a control frame may arrive in two pieces.
    pub(crate) fn send(&mut self, frame: &Frame, weather: Weather, now: Instant, rng: &mut Rng) {
        let after = now + delay(weather, rng);
        match frame {
            Frame::Control(frame) => {
                let mut bytes = BytesMut::new();
                control::encode(frame, &mut bytes);
                let mut bytes = bytes.freeze();
                if rng.percent(20) {
                    let first = bytes.split_to(rng.range(0, bytes.len() as u64) as usize);
                    put(&mut self.control, after, first);
                }
                let after = after + if rng.percent(20) { delay(weather, rng) } else { Duration::ZERO };
                put(&mut self.control, after, bytes);
            }
            Frame::Data(data) => {
                let lane = self.lanes.entry(data.channel.0).or_insert_with(|| DataLane {
                    encoder: RecordEncoder::new(data.channel, data.sequence),
                    bytes: Lane::new(),
                    decoder: RecordDecoder::new(LARGEST),
                    waiting: VecDeque::new(),
                });
                let mut bytes = BytesMut::new();
                let head = lane.encoder.put(&mut bytes, data.sequence, data.redelivered, data.payload.len());
                assert!(head.is_ok(), "data out of order on one link: {head:?}");
                bytes.extend_from_slice(&data.payload);
                put(&mut lane.bytes, after, bytes.freeze());
                self.refill.push_back((after, data.payload.len() + 16));
            }
            Frame::Heartbeat(beat) => {
                let byte = heartbeat::encode(*beat);
                if !rng.percent(weather.datagram_loss) {
                    self.datagrams.push((after, byte));
                }
                if rng.percent(weather.datagram_copy) {
                    self.datagrams.push((now + delay(weather, rng), byte));
                }
            }
        }
    }

    /// The sending end closes. With `outruns`, the news overtakes what is under way.
    pub(crate) fn close(
        &mut self,
        code: CloseCode,
        reason: String,
        outruns: bool,
        weather: Weather,
        now: Instant,
        rng: &mut Rng,
    ) {
        let mut at = now + delay(weather, rng);
        if !outruns {
            at = at.max(self.last());
        }
        self.close.get_or_insert((at, code, reason));
    }

    fn last(&self) -> Instant {
        let lanes = self.lanes.values().map(|lane| &lane.bytes).chain([&self.control]);
        let last = lanes.filter_map(|lane| lane.back().map(|(at, _)| *at)).max();
        last.or(self.close.as_ref().map(|(at, ..)| *at)).unwrap_or_else(crate::world::epoch)
    }

    fn truncate(&mut self, keep_percent: u64, rng: &mut Rng) -> u64 {
        let mut lost = self.datagrams.len() as u64;
        self.datagrams.clear();
        for lane in self.lanes.values_mut().map(|lane| &mut lane.bytes).chain([&mut self.control]) {
            let keep = if rng.percent(keep_percent) { rng.range(0, lane.len() as u64) as usize } else { 0 };
            lost += (lane.len() - keep) as u64;
            lane.truncate(keep);
        }
        lost
    }

    /// When something arrives next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let lanes = self.lanes.values().map(|lane| &lane.bytes).chain([&self.control]);
        let lanes = lanes.filter_map(|lane| lane.front().map(|(at, _)| *at));
        let datagrams = self.datagrams.iter().map(|(at, _)| *at);
        lanes.chain(datagrams).chain(self.close.as_ref().map(|(at, ..)| *at)).min()
    }

    /// What arrives by `now`, one piece of one lane.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<Arrival> {
        if let Some(index) = self.datagrams.iter().position(|(at, _)| *at <= now) {
            let (_, byte) = self.datagrams.swap_remove(index);
            self.arrived += 1;
            return vec![Arrival::Frame(Frame::Heartbeat(heartbeat::decode(byte)))];
        }
        let due = |lane: &mut Lane| lane.front_if(|(at, _)| *at <= now);
        if let Some((_, bytes)) = due(&mut self.control) {
            self.arrived += 1;
            self.decoder.push(&bytes);
            let mut frames = Vec::new();
            while let Some(control) = self.decoder.next().expect("what was encoded is decoded") {
                frames.push(Arrival::Frame(Frame::Control(control)));
            }
            return frames;
        }
        for lane in self.lanes.values_mut() {
            if let Some((_, bytes)) = lane.bytes.front_if(|(at, _)| *at <= now) {
                self.arrived += 1;
                lane.decoder.push(bytes);
                while let Some(data) = lane.decoder.next().expect("what was encoded is decoded") {
                    lane.waiting.push_back(data);
                }
                return Vec::new();
            }
        }
        match self.close.take_if(|(at, ..)| *at <= now) {
            Some((_, code, reason)) => vec![Arrival::Closed(code, reason)],
            None => Vec::new(),
        }
    }

    /// Channels with data that has arrived and was not taken.
    pub(crate) fn waiting_channels(&self) -> Vec<u32> {
        self.lanes.iter().filter(|(_, lane)| !lane.waiting.is_empty()).map(|(&id, _)| id).collect()
    }

    pub(crate) fn pop_waiting(&mut self, channel: u32) -> Option<Data> {
        self.lanes.get_mut(&channel)?.waiting.pop_front()
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

trait FrontIf<T> {
    fn front_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T>;
}

impl<T> FrontIf<T> for VecDeque<T> {
    fn front_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        if self.front().is_some_and(wanted) { self.pop_front() } else { None }
    }
}

fn put(lane: &mut Lane, at: Instant, bytes: Bytes) {
    let at = lane.back().map_or(at, |(last, _)| at.max(*last));
    lane.push_back((at, bytes));
}

fn delay(weather: Weather, rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.range(weather.delay_ms.0, weather.delay_ms.1))
}
