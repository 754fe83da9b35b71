//! What leaves in datagrams: heartbeats first, then messages and fragments, packed when quinn takes them.
//!
//! quinn holds a few datagrams in the order in which it was given them, and sends them before
//! anything on streams. It is given one only when it has space for it: nothing it holds gives way to something newer, and
//! what it has no space for waits here, where heartbeats go first (rule H3).

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::{Connection, SendDatagramError};

use super::streams::{Lost, Streams};
use crate::driver::environment::BoxFuture;
use crate::protocol::types::link_room;
use crate::wire::data::datagram::{self, DatagramPacker, Fragments};
use crate::wire::{Carrier, Data};

/// Beats and probes that wait for quinn: a newer one takes the place of one that could not leave.
const URGENT: usize = 4;

/// Bytes of a probe: with what is around it, it fills a QUIC packet of 1,200 bytes (RFC 9000 section 14), the smallest that
/// lets the peer answer a new address in full (section 8.1).
const PROBE: usize = 1150;

/// Between two pieces of a message others leave: out of so many behind it, and so many bytes.
const GIVES_WAY: usize = 64;
const GIVES_WAY_BYTES: usize = 4 * PROBE;

/// See the module.
pub(super) struct Datagrams {
    urgent: VecDeque<Urgent>,
    /// By priority, in the order in which they came.
    queues: BTreeMap<Reverse<i8>, VecDeque<Item>>,
    /// What quinn has no space for now.
    waiting: Option<(Offer, Sending)>,
    packer: DatagramPacker,
}

type Sending = BoxFuture<Result<(), SendDatagramError>>;

/// What does not wait behind messages.
#[derive(Clone, Copy)]
enum Urgent {
    Beat(u8),
    Probe,
}

/// A message that waits, or what is left of it.
struct Item {
    data: Data,
    /// It is being cut, and of this something has left.
    cut: Option<Fragments>,
}

/// A datagram for quinn. What it is made of stays in the queue until quinn has taken it.
struct Offer {
    bytes: Bytes,
    content: Content,
}

enum Content {
    Urgent,
    /// This many messages from the front of a queue.
    Messages(Reverse<i8>, usize),
    /// A piece of the one in front, and what is left of it afterwards.
    Piece(Reverse<i8>, Fragments),
}

impl Datagrams {
    pub(super) fn new() -> Self {
        Self {
            urgent: VecDeque::new(),
            queues: BTreeMap::new(),
            waiting: None,
            packer: DatagramPacker::new(),
        }
    }

    pub(super) fn push_beat(&mut self, beat: u8) {
        self.push_urgent(Urgent::Beat(beat));
    }

    /// A datagram of padding.
    pub(super) fn push_probe(&mut self) {
        self.push_urgent(Urgent::Probe);
    }

    fn push_urgent(&mut self, urgent: Urgent) {
        // It is not to wait behind messages.
        self.waiting.take_if(|(offer, _)| !matches!(offer.content, Content::Urgent));
        if self.urgent.len() == URGENT {
            self.waiting = None;
            self.urgent.pop_front();
        }
        self.urgent.push_back(urgent);
    }

    pub(super) fn push(&mut self, data: Data, priority: i8) {
        self.queues.entry(Reverse(priority)).or_default().push_back(Item { data, cut: None });
    }

    /// Gives quinn what it takes; what fits no datagram and must arrive goes to the streams. Yields the room that this
    /// makes.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        streams: &mut Streams,
    ) -> Result<usize, Lost> {
        let mut freed = 0;
        if self.waiting.is_none() && self.is_idle() {
            return Ok(freed);
        }
        let mut max = connection.max_datagram_size().unwrap_or(0);
        loop {
            let (offer, sent) = match self.waiting.take() {
                Some((offer, mut sending)) => match sending.as_mut().poll(cx) {
                    Poll::Ready(sent) => (offer, sent),
                    Poll::Pending => {
                        self.waiting = Some((offer, sending));
                        return Ok(freed);
                    }
                },
                None => {
                    let Some(offer) = self.next_offer(max, streams, &mut freed) else { return Ok(freed) };
                    match pin!(connection.send_datagram_wait(offer.bytes.clone())).poll(cx) {
                        Poll::Ready(sent) => (offer, sent),
                        Poll::Pending => {
                            // To be asked again right away: only what is kept is woken.
                            let (connection, bytes) = (connection.clone(), offer.bytes.clone());
                            let sending = async move { connection.send_datagram_wait(bytes).await };
                            self.waiting = Some((offer, Box::pin(sending)));
                            continue;
                        }
                    }
                }
            };
            match sent {
                Ok(()) => freed += self.forget(offer.content),
                // The path has become narrower: it is packed anew.
                Err(SendDatagramError::TooLarge) => {
                    let now = connection.max_datagram_size().unwrap_or(0);
                    max = now.min(offer.bytes.len().saturating_sub(1));
                }
                Err(_) => return Err(Lost),
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.urgent.is_empty() && self.queues.is_empty()
    }

    /// The next datagram, of at most `max` bytes.
    fn next_offer(&mut self, max: usize, streams: &mut Streams, freed: &mut usize) -> Option<Offer> {
        if let Some(&urgent) = self.urgent.front() {
            let bytes = match urgent {
                Urgent::Beat(beat) => Bytes::copy_from_slice(&[beat]),
                Urgent::Probe => datagram::padding(PROBE.min(max)),
            };
            return Some(Offer { bytes, content: Content::Urgent });
        }
        while let Some(mut entry) = self.queues.first_entry() {
            let (priority, queue) = (*entry.key(), entry.get_mut());
            match next_of(queue, &mut self.packer, max) {
                Next::Messages(bytes, count) => {
                    return Some(Offer { bytes, content: Content::Messages(priority, count) });
                }
                Next::Piece(bytes, rest) => {
                    return Some(Offer { bytes, content: Content::Piece(priority, rest) });
                }
                Next::Stream(data) => {
                    let (channel, room) = (data.channel, link_room(data.payload.len()));
                    if let Err(error) = streams.push_parcel(data, priority.0) {
                        tracing::error!(%channel, %error, "a message cannot be written");
                        *freed += room;
                    }
                }
                Next::Gone(data) => *freed += link_room(data.payload.len()),
                Next::Nothing => drop(entry.remove()),
            }
        }
        None
    }

    /// quinn has taken this. Yields its room.
    fn forget(&mut self, content: Content) -> usize {
        match content {
            Content::Urgent => {
                self.urgent.pop_front();
                0
            }
            Content::Messages(priority, count) => {
                let Some(queue) = self.queues.get_mut(&priority) else { return 0 };
                queue.drain(..count).map(|item| link_room(item.data.payload.len())).sum()
            }
            Content::Piece(priority, rest) => {
                let Some(queue) = self.queues.get_mut(&priority) else { return 0 };
                if let Some(item) = queue.front_mut() {
                    item.cut = Some(rest);
                }
                give_way(queue);
                0
            }
        }
    }
}

/// The message in front is cut, and one of its pieces has left: others go next, a piece of those that are cut as well, up to a
/// few datagrams. Those of its own channel stay behind it, because it may be worth nothing after them.
fn give_way(queue: &mut VecDeque<Item>) {
    let Some(channel) = queue.front().map(|cut| cut.data.channel) else { return };
    let (mut passed, mut bytes) = (0, 0);
    for at in 1..queue.len().min(GIVES_WAY) {
        if queue.get(at).is_some_and(|item| item.data.channel == channel) {
            continue;
        }
        if bytes > GIVES_WAY_BYTES {
            break;
        }
        if let Some(item) = queue.remove(at) {
            bytes += item.data.payload.len().min(PROBE);
            queue.insert(passed, item);
            passed += 1;
        }
    }
}

/// What can be done with the front of a queue.
enum Next {
    Nothing,
    /// This many messages in one datagram.
    Messages(Bytes, usize),
    /// A piece of the first, and the rest of it.
    Piece(Bytes, Fragments),
    /// All of its pieces are with quinn, or no datagram can hold any. It is taken out.
    Gone(Data),
    /// It must arrive, and fits no datagram. It is taken out.
    Stream(Data),
}

fn next_of(queue: &mut VecDeque<Item>, packer: &mut DatagramPacker, max: usize) -> Next {
    let Some(first) = queue.front() else { return Next::Nothing };
    let mut count = 0;
    if first.cut.is_none() {
        for item in &*queue {
            match packer.put(&item.data, max) {
                Ok(true) => count += 1,
                Ok(false) | Err(_) => break,
            }
        }
        if count > 0 {
            return Next::Messages(packer.take(), count);
        }
    }
    let after: fn(Data) -> Next = if first.data.carrier == Carrier::Fragments {
        let rest = first.cut.clone().map_or_else(|| Fragments::new(&first.data), Ok);
        match rest.and_then(|mut rest| Ok(rest.next(max)?.map(|piece| (piece, rest)))) {
            Ok(Some((piece, rest))) => return Next::Piece(piece, rest),
            Ok(None) => Next::Gone,
            Err(error) => {
                tracing::warn!(channel = %first.data.channel, %error, "a message fits no datagram");
                Next::Gone
            }
        }
    } else {
        Next::Stream
    };
    queue.pop_front().map_or(Next::Nothing, |item| after(item.data))
}

#[cfg(test)]
mod tests;
