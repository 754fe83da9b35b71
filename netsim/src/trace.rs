//! What happened to whom, when: the events of a run, their hash, and where two runs part.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use crate::packet::{Fate, Packet};
use crate::time::Time;

/// One thing that happened to one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Time,
    /// Where the packet says it comes from, at this point of its way.
    pub from: SocketAddr,
    /// Where it goes, at this point of its way.
    pub to: SocketAddr,
    /// The length of its payload.
    pub length: usize,
    /// What happened to it.
    pub fate: Fate,
    /// Which packet it is, counted from 1 as hosts send them; copies have the same number. Not in the hash.
    pub packet: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, from, to, length, fate, .. } = self;
        write!(f, "{at}  {from} > {to}  {length} bytes  {fate}")
    }
}

/// All that happened in a run, as a hash and, unless switched off, as a list.
///
/// The hash covers time, from, to, length and fate of each event, in order, and nothing else: no payload, since
/// the randomness of TLS shows there, and no seed.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: TraceHash,
    fates: BTreeMap<Fate, u64>,
    events: Option<Vec<Event>>,
}

impl Trace {
    /// Nothing yet. Whoever only compares hashes need not keep the events.
    pub fn new(keep_events: bool) -> Self {
        Self { hash: TraceHash::EMPTY, fates: BTreeMap::new(), events: keep_events.then(Vec::new) }
    }

    /// Something happened to a packet.
    pub fn record(&mut self, at: Time, packet: &Packet, fate: Fate) {
        let (length, id) = (packet.payload.len(), packet.id);
        let event = Event { at, from: packet.from, to: packet.to, length, fate, packet: id };
        self.hash.add(&event);
        *self.fates.entry(fate).or_insert(0) += 1;
        if let Some(events) = &mut self.events {
            events.push(event);
        }
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> TraceHash {
        self.hash
    }

    /// How many events there were.
    pub fn count(&self) -> u64 {
        self.fates.values().sum()
    }

    /// How many events there were of each kind.
    pub fn fates(&self) -> &BTreeMap<Fate, u64> {
        &self.fates
    }

    /// The events; none if they were not to be kept.
    pub fn events(&self) -> &[Event] {
        self.events.as_deref().unwrap_or_default()
    }

    /// Where this run and another part; nothing if they are the same.
    pub fn divergence(&self, other: &Self) -> Option<Divergence> {
        if self.hash == other.hash {
            return None;
        }
        let pairs = self.events().iter().zip(other.events());
        let index = pairs.take_while(|(one, another)| one == another).count();
        let event = |trace: &Self| trace.events().get(index).cloned();
        Some(Divergence { index, first: event(self), second: event(other) })
    }
}

/// The packets of a run themselves, each as it was at each point of its way, if they were to be kept.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    pub(crate) packets: Vec<(Time, Packet, Fate)>,
}

impl Capture {
    /// When what happened to which packet.
    pub fn packets(&self) -> &[(Time, Packet, Fate)] {
        &self.packets
    }
}

/// 64 bits that stand for a whole run (FNV-1a).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceHash(u64);

impl TraceHash {
    const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    fn add(&mut self, event: &Event) {
        self.bytes(&event.at.as_nanos().to_le_bytes());
        for address in [event.from, event.to] {
            match address {
                SocketAddr::V4(v4) => self.bytes(&v4.ip().octets()),
                SocketAddr::V6(v6) => self.bytes(&v6.ip().octets()),
            }
            self.bytes(&address.port().to_le_bytes());
        }
        self.bytes(&(event.length as u64).to_le_bytes());
        self.bytes(&[event.fate.code()]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The first event in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the runs part at event {index}:\n  first:  {}\n  second: {}", show(.first), show(.second))]
#[non_exhaustive]
pub struct Divergence {
    /// How many events were the same.
    pub index: usize,
    /// The first run's next event, if it had one.
    pub first: Option<Event>,
    /// The second run's next event, if it had one.
    pub second: Option<Event>,
}

fn show(event: &Option<Event>) -> String {
    event.as_ref().map_or("nothing more".to_owned(), Event::to_string)
}

/// Runs twice and compares: the same seed must give the same run. The traces must keep their events, or the
/// place where they part is not known.
pub fn run_twice(mut run: impl FnMut() -> Trace) -> Result<Trace, Box<Divergence>> {
    let (first, second) = (run(), run());
    match first.divergence(&second) {
        None => Ok(first),
        Some(divergence) => Err(Box::new(divergence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(lengths: &[usize]) -> Trace {
        let mut trace = Trace::new(true);
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        for (at, length) in (0..).zip(lengths) {
            let packet = Packet::new(address(1), address(2), vec![0; *length]);
            trace.record(Time::from_secs(at), &packet, Fate::Sent);
        }
        trace
    }

    #[test]
    fn two_runs_part_where_they_part() {
        assert_eq!(trace(&[1, 2, 3]).divergence(&trace(&[1, 2, 3])), None);
        assert_eq!(trace(&[1, 2, 3]).hash(), trace(&[1, 2, 3]).hash());
        let divergence = trace(&[1, 2, 3]).divergence(&trace(&[1, 5])).unwrap();
        assert_eq!(divergence.index, 1);
        let text = divergence.to_string();
        assert!(text.contains("event 1") && text.contains("2 bytes") && text.contains("5 bytes"), "{text}");
        let divergence = trace(&[1]).divergence(&trace(&[1, 5])).unwrap();
        assert!(divergence.to_string().contains("nothing more"));
    }

    #[test]
    fn a_run_that_is_not_repeatable_is_caught() {
        let mut round = 0;
        let different = run_twice(|| {
            round += 1;
            trace(&[1, round])
        });
        assert_eq!(different.unwrap_err().index, 1);
        assert_eq!(run_twice(|| trace(&[4])).unwrap().count(), 1);
    }
}
