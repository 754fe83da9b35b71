//! One direction of a link, composed of its stages.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::conditions::{Conditions, Settings};
use super::counts::{LinkCounts, Phase};
use super::loss::{Loss, Taken};
use super::memory::Memory;
use super::shaper::Shaper;
use crate::packet::{Fate, Packet};
use crate::queue::EventHeap;
use crate::random::Draws;
use crate::time::{Time, nanos};
use crate::values::BadValue;

/// One direction of a link: packets enter with [`push`](Self::push) and come out of [`pop`](Self::pop).
///
/// A packet passes, in this order, the black hole, the MTU, the queue and its rate, the loss, the corruption, the
/// delay with its jitter, the duplication and the reordering. What happens to it is settled by the conditions at
/// the moment it enters; only how long it waits in the queue depends on what changes later.
///
/// Nothing is forgotten: each packet comes out once with its [`Fate`], be it that it was lost, and twice if it was
/// duplicated.
///
/// ```
/// # use bowline_netsim::{Conditions, Fate, Packet, Pipe, Time};
/// # use std::time::Duration;
/// let conditions = Conditions::new().delay(Duration::from_millis(20)).drop([2]);
/// let mut up = Pipe::new("up", 1, &conditions).unwrap();
/// let (a, b) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
/// for payload in ["one", "two"] {
///     up.push(Time::ZERO, Packet::new(a, b, payload));
/// }
/// assert_eq!(up.pop(Time::ZERO).unwrap().fate, Fate::Lost);
/// assert_eq!(up.next_wakeup(), Some(Time::from_millis(20)));
/// assert_eq!(up.pop(Time::from_millis(20)).unwrap().packet.payload, "one");
/// ```
pub struct Pipe {
    said: Conditions,
    settings: Settings,
    timeline: VecDeque<(Time, Conditions)>,
    loss: Loss,
    draws: StageDraws,
    shaper: Shaper<Entered>,
    exits: EventHeap<Exit>,
    /// When the last packet that keeps its place comes out.
    last_in_order: Time,
    numbered: u64,
    newest_out: u64,
    last_was_lost: bool,
    held: Held,
    counts: LinkCounts,
    memory: Option<Memory>,
}

/// What is inside: in the queue, or on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) packets: u64,
    /// Bytes of IP packets.
    pub(crate) bytes: u64,
}

/// What came out of a [`Pipe`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exit {
    /// When.
    pub at: Time,
    /// When it had entered.
    pub entered: Time,
    /// The number of the packet: 1 is the first that was offered.
    pub number: u64,
    /// What became of it; only if this [arrives](Fate::arrives) is there somebody to hand it to.
    pub fate: Fate,
    /// The packet.
    pub packet: Packet,
}

#[derive(Debug)]
struct StageDraws {
    jitter: Draws,
    reorder: Draws,
    duplicate: Draws,
    corrupt: Draws,
}

/// A packet on its way, with what was settled when it entered.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) at: Time,
    pub(super) number: u64,
    pub(super) packet: Packet,
    pub(super) lost: Option<Taken>,
    pub(super) corrupted: bool,
    pub(super) duplicated: bool,
    pub(super) travel: Duration,
    pub(super) held_back: Duration,
}

impl Pipe {
    /// A direction with this name, whose luck is drawn from this seed.
    pub fn new(name: &str, seed: u64, conditions: &Conditions) -> Result<Self, BadValue> {
        conditions.check()?;
        let draws = |stage| Draws::new(seed, name, stage);
        let mut pipe = Self {
            said: Conditions::new(),
            settings: Settings::from(&Conditions::new()),
            timeline: VecDeque::new(),
            loss: Loss::new(seed, name),
            draws: StageDraws {
                jitter: draws("jitter"),
                reorder: draws("reorder"),
                duplicate: draws("duplicate"),
                corrupt: draws("corrupt"),
            },
            shaper: Shaper::new(),
            exits: EventHeap::new(),
            last_in_order: Time::ZERO,
            numbered: 0,
            newest_out: 0,
            last_was_lost: false,
            held: Held::default(),
            counts: LinkCounts::default(),
            memory: Some(Memory::default()),
        };
        pipe.apply(Time::ZERO, conditions);
        Ok(pipe)
    }

    /// Changes the conditions now.
    pub fn change(&mut self, now: Time, change: &Conditions) -> Result<(), BadValue> {
        self.said.clone().and(change).check()?;
        self.impose(now, change);
        Ok(())
    }

    /// Changes the conditions now; what they come to together is not looked at again.
    pub(crate) fn impose(&mut self, now: Time, change: &Conditions) {
        self.advance(now);
        self.apply(now, change);
    }

    /// Changes the conditions at a moment to come. Changes for the same moment apply in the order of the calls.
    pub fn change_at(&mut self, at: Time, change: Conditions) -> Result<(), BadValue> {
        change.check()?;
        let place = self.timeline.partition_point(|(earlier, _)| *earlier <= at);
        self.timeline.insert(place, (at, change));
        Ok(())
    }

    /// Loses every packet, besides those that the conditions take, for which this is true. The predicate sees
    /// each packet once, with its number.
    pub fn drop_if(&mut self, predicate: impl FnMut(u64, &Packet) -> bool + Send + 'static) {
        self.loss.set_predicate(Some(Box::new(predicate)));
    }

    /// A packet enters. Time must not run backwards between calls.
    pub fn push(&mut self, now: Time, packet: Packet) {
        self.advance(now);
        self.numbered += 1;
        let bytes = packet.wire_len() as u64;
        self.counts.offered += 1;
        self.counts.offered_bytes += bytes;
        self.held.add(&packet);
        let entered = self.settle(now, packet);
        let refused = if self.settings.block {
            Some(Fate::Blocked)
        } else if bytes > self.settings.mtu as u64 {
            Some(Fate::TooBig)
        } else if self.shaper.queued_bytes() + bytes > self.settings.queue_bytes {
            Some(Fate::QueueFull)
        } else {
            None
        };
        if let Some(memory) = &mut self.memory {
            memory.note(&entered, refused, self.settings.stall);
        }
        if let Some(fate) = refused {
            self.exit(now, now, entered.number, fate, entered.packet);
            return;
        }
        self.shaper.push(now, bytes, entered);
        // What leaves at once has not waited.
        self.advance(now);
        self.counts.queue_bytes_max = self.counts.queue_bytes_max.max(self.shaper.queued_bytes());
    }

    /// What has come out by now; the earliest first. Ask until there is nothing more.
    pub fn pop(&mut self, now: Time) -> Option<Exit> {
        self.advance(now);
        let (_, exit) = self.exits.pop(now)?;
        self.held.packets -= 1;
        self.held.bytes -= exit.packet.wire_len() as u64;
        self.count(&exit);
        Some(exit)
    }

    /// When there will be something to [`pop`](Self::pop), as far as is known; sooner if something is pushed.
    pub fn next_wakeup(&self) -> Option<Time> {
        let departure = self.shaper.next_departure();
        // A change matters to those who wait in the queue.
        let waiting = self.shaper.queued_bytes() > 0;
        let change = self.timeline.front().filter(|_| waiting).map(|(at, _)| *at);
        [departure, change, self.exits.next_due()].into_iter().flatten().min()
    }

    /// The conditions as they are.
    pub fn conditions(&self) -> &Conditions {
        &self.said
    }

    /// What it really did so far.
    pub fn counts(&self) -> LinkCounts {
        self.counts
    }

    /// What is inside now, lost packets that have not come out yet included.
    #[cfg(feature = "proxy")]
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    /// The same without a memory, for one that goes on for ever: [`phases`](Self::phases) and [`taken`](Self::taken)
    /// remain empty.
    #[cfg(feature = "proxy")]
    pub(crate) fn without_memory(self) -> Self {
        Self { memory: None, ..self }
    }

    /// What it met, from one change of its conditions to the next.
    pub fn phases(&self) -> &[Phase] {
        self.memory.as_ref().map_or(&[], |memory| &memory.phases)
    }

    /// The numbers of the packets that were lost or blocked so far, in order.
    pub fn taken(&self) -> &[u64] {
        self.memory.as_ref().map_or(&[], |memory| &memory.taken)
    }

    /// When it was last offered a packet.
    pub fn last_offered(&self) -> Option<Time> {
        self.memory.as_ref().and_then(|memory| memory.last_offered)
    }

    fn settle(&mut self, now: Time, mut packet: Packet) -> Entered {
        let number = self.numbered;
        let lost = self.loss.takes(number, &packet, &self.settings);
        let corrupted =
            self.draws.corrupt.chance(self.settings.corrupt, number, 0) && !packet.payload.is_empty();
        if corrupted {
            let bit = self.draws.corrupt.below(packet.payload.len() as u64 * 8, number, 1);
            packet.payload = flipped(&packet.payload, bit as usize);
        }
        let duplicated = self.draws.duplicate.chance(self.settings.duplicate, number, 0);
        let jitter = self.draws.jitter.below(nanos(self.settings.jitter).saturating_add(1), number, 0);
        let travel = self.settings.delay + Duration::from_nanos(jitter);
        let reordered = self.draws.reorder.chance(self.settings.reorder, number, 0);
        let held_back = if reordered { self.settings.reorder_by } else { Duration::ZERO };
        Entered { at: now, number, packet, lost, corrupted, duplicated, travel, held_back }
    }

    /// Lets everything happen that is due by now, each at its own moment.
    fn advance(&mut self, now: Time) {
        loop {
            let change = self.timeline.front().map(|(at, _)| *at).filter(|at| *at <= now);
            let departure = self.shaper.next_departure().filter(|at| *at <= now);
            match (change, departure) {
                (None, None) => return,
                (Some(change), departure) if departure.is_none_or(|departure| change <= departure) => {
                    if let Some((at, conditions)) = self.timeline.pop_front() {
                        self.apply(at, &conditions);
                    }
                }
                _ => {
                    if let Some((at, entered)) = self.shaper.pop(now) {
                        self.travel(at, entered);
                    }
                }
            }
        }
    }

    fn apply(&mut self, now: Time, change: &Conditions) {
        self.said = std::mem::take(&mut self.said).and(change);
        let settings = Settings::from(&self.said);
        if settings.loss != self.settings.loss || settings.burst != self.settings.burst {
            self.loss.set(&settings);
        }
        self.shaper.set(now, &settings);
        self.settings = settings;
        if let Some(memory) = &mut self.memory {
            memory.begin(now, self.said.clone());
        }
    }

    /// A packet leaves the queue and travels.
    fn travel(&mut self, departed: Time, entered: Entered) {
        let Entered { at: entered, number, packet, lost, corrupted, duplicated, travel, held_back } = entered;
        self.counts.loss_bursts += u64::from(lost.is_some() && !self.last_was_lost);
        self.last_was_lost = lost.is_some();
        if lost.is_some() {
            self.exit(departed, entered, number, Fate::Lost, packet);
            return;
        }
        let arrival = (departed + travel).max(self.last_in_order);
        self.last_in_order = arrival;
        let arrival = arrival + held_back;
        let copy = duplicated.then(|| packet.clone());
        let fate = if corrupted { Fate::Corrupted } else { Fate::Delivered };
        self.exit(arrival, entered, number, fate, packet);
        if let Some(copy) = copy {
            self.held.add(&copy);
            self.exit(arrival, entered, number, Fate::Duplicated, copy);
        }
    }

    fn exit(&mut self, at: Time, entered: Time, number: u64, fate: Fate, packet: Packet) {
        self.exits.push(at, Exit { at, entered, number, fate, packet });
    }

    fn count(&mut self, exit: &Exit) {
        let counts = &mut self.counts;
        match exit.fate {
            Fate::Lost => counts.lost += 1,
            Fate::Blocked => counts.blocked += 1,
            Fate::TooBig => counts.too_big += 1,
            Fate::QueueFull => counts.queue_full += 1,
            Fate::Duplicated => counts.duplicated += 1,
            Fate::Corrupted => counts.corrupted += 1,
            _ => {}
        }
        if exit.fate.arrives() {
            counts.delivered += 1;
            counts.delivered_bytes += exit.packet.wire_len() as u64;
            counts.reordered += u64::from(exit.number < self.newest_out);
            self.newest_out = self.newest_out.max(exit.number);
        }
    }
}

impl Held {
    fn add(&mut self, packet: &Packet) {
        self.packets += 1;
        self.bytes += packet.wire_len() as u64;
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("conditions", &self.said)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

fn flipped(payload: &Bytes, bit: usize) -> Bytes {
    let mut bytes = BytesMut::from(payload.as_ref());
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes.freeze()
}
