//! What carries data on a fake connection: streams, in order each and independent of each other, and datagrams, which get
//! lost and overtake each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bowline::id::ChannelId;
use bowline::wire::data::datagram::{self, Datagram, DatagramPacker, Fragments};
use bowline::wire::data::{BodyEncoder, Limits, RecordEncoder, RecordHead, StreamDecoder};
use bowline::wire::{Body, Carrier, Data, Frame, Heartbeat, heartbeat};
use bytes::{Bytes, BytesMut};

use crate::link::{Arrival, Bytestream, FrontIf, Sky, put, truncate};
use crate::rng::Rng;

/// Largest message that any side of any test sends.
pub(crate) const LARGEST: usize = 512 * 1024;

/// Records share a stream of their own up to this many bytes.
const PACKET: usize = 1100;

/// Streams and datagrams of one direction.
#[derive(Debug, Default)]
pub(crate) struct DataPipe {
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    /// The stream of each lane, and the one that its next single record may share.
    lanes: BTreeMap<u32, u64>,
    singles: BTreeMap<u32, u64>,
    bodies: BTreeMap<(u32, u64), u64>,
    abandoned: BTreeSet<(u32, u64)>,
    packer: DatagramPacker,
    packed: usize,
    datagrams: Vec<(Instant, Bytes)>,
}

#[derive(Debug)]
struct Stream {
    channel: ChannelId,
    writer: Writer,
    written: usize,
    bytes: Bytestream,
    decoder: StreamDecoder,
    /// Arrived, and told to wait.
    waiting: VecDeque<Frame>,
    /// Nothing more is written; `reset`: and perhaps not all that was arrives.
    finished: bool,
    reset: bool,
}

#[derive(Debug)]
enum Writer {
    Records(RecordEncoder),
    Body(BodyEncoder),
}

impl Stream {
    fn new(channel: ChannelId, writer: Writer) -> Self {
        let decoder = StreamDecoder::new(Limits::new(LARGEST));
        let (bytes, waiting) = (Bytestream::new(), VecDeque::new());
        Self { channel, writer, written: 0, bytes, decoder, waiting, finished: false, reset: false }
    }

    fn put_record(&mut self, data: &Data, at: Instant, rng: &mut Rng) {
        let Writer::Records(encoder) = &mut self.writer else { panic!("a record on a body stream") };
        let mut bytes = BytesMut::new();
        let head = encoder.put(&mut bytes, &RecordHead::from(data));
        assert!(head.is_ok(), "data out of order on one stream: {head:?}");
        bytes.extend_from_slice(&data.payload);
        self.put(bytes.freeze(), at, rng);
    }

    fn put_piece(&mut self, body: &Body, at: Instant, rng: &mut Rng) {
        let Writer::Body(encoder) = &mut self.writer else { panic!("a piece among records") };
        let mut bytes = BytesMut::new();
        let head = encoder.put(&mut bytes, body);
        assert!(head.is_ok(), "pieces out of order on one stream: {head:?}");
        self.finished = encoder.is_whole();
        bytes.extend_from_slice(&body.bytes);
        self.put(bytes.freeze(), at, rng);
    }

    fn put(&mut self, mut bytes: Bytes, at: Instant, rng: &mut Rng) {
        self.written += bytes.len();
        if rng.percent(10) {
            let first = bytes.split_to(rng.range(0, bytes.len() as u64) as usize);
            put(&mut self.bytes, at, first);
        }
        put(&mut self.bytes, at, bytes);
    }

    /// Whether it has nothing more to give.
    fn is_done(&self) -> bool {
        self.finished && self.bytes.is_empty() && self.waiting.is_empty()
    }
}

impl DataPipe {
    pub(crate) fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.streams.values().all(|s| s.bytes.is_empty() && s.waiting.is_empty())
    }

    // ---- out ----

    pub(crate) fn send(&mut self, data: &Data, at: Instant, sky: &mut Sky<'_>) {
        match data.carrier {
            Carrier::Lane => {
                // An idle lane may finish its stream and begin another.
                if sky.rng.percent(3) {
                    self.finish(self.lanes.get(&data.channel.0).copied());
                    self.lanes.remove(&data.channel.0);
                }
                let id = match self.lanes.get(&data.channel.0) {
                    Some(&id) => id,
                    None => self.open(data),
                };
                self.lanes.insert(data.channel.0, id);
                self.put_record(id, data, at, sky.rng);
            }
            Carrier::Stream => self.send_single(data, at, sky.rng),
            Carrier::Datagram | Carrier::Fragments => self.pack(data, at, sky),
        }
    }

    fn open(&mut self, data: &Data) -> u64 {
        let writer = Writer::Records(RecordEncoder::new(data.channel, data.sequence));
        self.add(Stream::new(data.channel, writer))
    }

    fn add(&mut self, stream: Stream) -> u64 {
        let id = self.next_stream;
        self.next_stream += 1;
        self.streams.insert(id, stream);
        id
    }

    fn finish(&mut self, stream: Option<u64>) {
        if let Some(stream) = stream.and_then(|id| self.streams.get_mut(&id)) {
            stream.finished = true;
        }
    }

    fn put_record(&mut self, stream: u64, data: &Data, at: Instant, rng: &mut Rng) {
        self.streams.get_mut(&stream).expect("it is open").put_record(data, at, rng);
    }

    /// Records on streams of their own: small ones share one.
    fn send_single(&mut self, data: &Data, at: Instant, rng: &mut Rng) {
        let before = self.singles.get(&data.channel.0).copied();
        let shared = before.and_then(|id| self.streams.get(&id)).is_some_and(|stream| {
            let Writer::Records(encoder) = &stream.writer else { return false };
            let fits = stream.written + data.payload.len() <= PACKET;
            fits && encoder.next_sequence() <= data.sequence && !stream.finished
        });
        let id = match before.filter(|_| shared && rng.percent(70)) {
            Some(id) => id,
            None => {
                self.finish(before);
                self.open(data)
            }
        };
        self.singles.insert(data.channel.0, id);
        self.put_record(id, data, at, rng);
    }

    pub(crate) fn send_piece(&mut self, body: &Body, at: Instant, sky: &mut Sky<'_>) {
        assert_eq!(body.carrier, Carrier::Stream, "a machine writes no fragments");
        let name = (body.channel.0, body.sequence);
        assert!(!self.abandoned.contains(&name), "a piece of what was abandoned: {name:?}");
        sky.tally.pieces += 1;
        let id = match self.bodies.get(&name) {
            Some(&id) => id,
            None => {
                sky.tally.bodies += 1;
                sky.tally.resumed_bodies += u64::from(body.offset > 0);
                self.add(Stream::new(body.channel, Writer::Body(BodyEncoder::new())))
            }
        };
        self.bodies.insert(name, id);
        self.streams.get_mut(&id).expect("it is open").put_piece(body, at, sky.rng);
    }

    /// The stream is reset: what is under way may get lost.
    pub(crate) fn abandon(&mut self, channel: ChannelId, sequence: u64, sky: &mut Sky<'_>) {
        let name = (channel.0, sequence);
        assert!(self.abandoned.insert(name), "abandoned twice: {name:?}");
        let id = self.bodies.get(&name).unwrap_or_else(|| panic!("abandoned and never begun: {name:?}"));
        sky.tally.abandoned_bodies += 1;
        // It may have arrived as a whole long ago.
        if let Some(stream) = self.streams.get_mut(id) {
            truncate(&mut stream.bytes, 50, sky.rng);
            (stream.finished, stream.reset) = (true, true);
        }
    }

    pub(crate) fn send_beat(&mut self, beat: Heartbeat, at: Instant, sky: &mut Sky<'_>) {
        let byte = Bytes::copy_from_slice(&[heartbeat::encode(beat)]);
        if !sky.rng.percent(sky.weather.datagram_loss) {
            self.datagrams.push((at, byte.clone()));
        }
        if sky.rng.percent(sky.weather.datagram_copy) {
            let at = sky.later();
            self.datagrams.push((at, byte));
        }
    }

    /// Into a datagram with others of its lane.
    fn pack(&mut self, data: &Data, at: Instant, sky: &mut Sky<'_>) {
        let limit = if sky.rng.percent(5) { 300 } else { 1160 };
        if sky.rng.percent(20) {
            self.flush(sky);
        }
        if self.put(data, limit) {
            return;
        }
        self.flush(sky);
        if self.put(data, limit) {
            return;
        }
        if data.carrier == Carrier::Datagram {
            sky.tally.outgrown += 1;
            return self.send_single(data, at, sky.rng);
        }
        let mut fragments = Fragments::new(data).expect("it can be cut");
        while let Some(fragment) = fragments.next(limit).expect("it has room") {
            sky.tally.fragments += 1;
            self.send_datagram(fragment, sky);
        }
    }

    fn put(&mut self, data: &Data, limit: usize) -> bool {
        let fits = self.packer.put(data, limit).expect("it can be written");
        self.packed += usize::from(fits);
        fits
    }

    pub(crate) fn flush(&mut self, sky: &mut Sky<'_>) {
        if !self.packer.is_empty() {
            sky.tally.shared_datagrams += u64::from(self.packed > 1);
            self.packed = 0;
            let datagram = self.packer.take();
            self.send_datagram(datagram, sky);
        }
    }

    fn send_datagram(&mut self, datagram: Bytes, sky: &mut Sky<'_>) {
        sky.tally.datagrams += 1;
        if sky.rng.percent(sky.weather.datagram_loss) {
            sky.tally.datagrams_lost += 1;
            return;
        }
        let at = sky.later();
        self.datagrams.push((at, datagram));
    }

    pub(crate) fn truncate(&mut self, keep_percent: u64, rng: &mut Rng) -> u64 {
        let before = self.datagrams.len();
        self.datagrams.retain(|_| rng.percent(keep_percent / 2));
        let streams = self.streams.values_mut().map(|stream| {
            stream.reset = true;
            truncate(&mut stream.bytes, keep_percent, rng)
        });
        streams.sum::<u64>() + (before - self.datagrams.len()) as u64
    }

    // ---- in ----

    pub(crate) fn last_at(&self) -> Option<Instant> {
        self.streams.values().filter_map(|stream| stream.bytes.back().map(|(at, _)| *at)).max()
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        let streams = self.streams.values().filter_map(|stream| stream.bytes.front().map(|(at, _)| *at));
        streams.chain(self.datagrams.iter().map(|(at, _)| *at)).min()
    }

    pub(crate) fn take_datagram(&mut self, now: Instant) -> Option<Arrival> {
        let index = self.datagrams.iter().position(|(at, _)| *at <= now)?;
        let (_, bytes) = self.datagrams.swap_remove(index);
        let decoded = datagram::decode(bytes, Limits::new(LARGEST)).expect("what was encoded is decoded");
        Some(match decoded {
            Datagram::Heartbeat(beat) => Arrival::Frame(Frame::Heartbeat(beat)),
            Datagram::Messages(messages) => Arrival::Datagram(
                messages.map(|data| Frame::Data(data.expect("what was encoded is decoded"))).collect(),
            ),
            Datagram::Fragment(body) => Arrival::Datagram(vec![Frame::Body(body)]),
            Datagram::Padding | Datagram::Unknown(_) => panic!("nobody sent that"),
        })
    }

    /// One piece of one stream arrives.
    pub(crate) fn take_bytes(&mut self, now: Instant) -> bool {
        for stream in self.streams.values_mut() {
            if let Some((_, bytes)) = stream.bytes.front_if(|(at, _)| *at <= now) {
                stream.decoder.push(bytes);
                while let Some(frame) = stream.decoder.next().expect("what was encoded is decoded") {
                    stream.waiting.push_back(frame);
                }
                if stream.finished && !stream.reset && stream.bytes.is_empty() {
                    stream.decoder.finish().expect("it ends where it may");
                }
                return true;
            }
        }
        self.streams.retain(|_, stream| !stream.is_done());
        false
    }

    pub(crate) fn waiting(&self) -> Vec<(u64, ChannelId)> {
        let waiting = self.streams.iter().filter(|(_, stream)| !stream.waiting.is_empty());
        waiting.map(|(&id, stream)| (id, stream.channel)).collect()
    }

    pub(crate) fn pop_waiting(&mut self, stream: u64) -> Option<Frame> {
        self.streams.get_mut(&stream)?.waiting.pop_front()
    }
}
