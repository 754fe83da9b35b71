//! Loss of datagrams: which messages were sent in one, and are to be sent again (rule N3).
//!
//! QUIC does not send a datagram again, and does not tell which were lost. So it is told from what the receiver says that
//! it has, by time alone, as RFC 9002 section 6.1.2 does for packets: a message is lost if one that was sent later has
//! arrived, and 9/8 of a round trip have passed since it was sent. If nothing arrives any more, all that is older than a
//! probe timeout is lost. To take a late message for a lost one costs its bytes once more, and nothing else.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ranges::RangeSet;
use crate::id::Sequence;

/// How long a receiver may wait with its news (rule C1), and how exactly timers fire (RFC 9002 section 6.1.2: 1 ms).
const NEWS_DELAY: Duration = Duration::from_millis(25);
const GRANULARITY: Duration = Duration::from_millis(1);

/// The round trip as long as none was measured (RFC 9002 section 6.2.2 begins with 333 ms, before a handshake; this link
/// has had its own).
const UNMEASURED: Duration = Duration::from_millis(100);

/// Messages on their way in datagrams.
#[derive(Debug, Default)]
pub struct Flights {
    /// In the order in which they left, which is that of their numbers.
    flights: VecDeque<Flight>,
    /// When the latest of those left that have arrived.
    arrived: Option<Instant>,
}

/// Messages that left together, as a half-open range.
#[derive(Clone, Copy, Debug)]
struct Flight {
    at: Instant,
    start: Sequence,
    end: Sequence,
}

impl Flights {
    /// A message leaves; its number is above all before it.
    pub fn sent(&mut self, sequence: Sequence, now: Instant) {
        match self.flights.back_mut() {
            Some(last) if last.at == now && last.end == sequence => last.end += 1,
            _ => self.flights.push_back(Flight { at: now, start: sequence, end: sequence + 1 }),
        }
    }

    /// The receiver has everything from `start` to `end`.
    pub fn arrived(&mut self, start: Sequence, end: Sequence) {
        let after = self.flights.partition_point(|flight| flight.start < end);
        let latest = after.checked_sub(1).and_then(|index| self.flights.get(index));
        if let Some(flight) = latest.filter(|flight| flight.end > start) {
            self.arrived = self.arrived.max(Some(flight.at));
        }
    }

    /// When the next one will count as lost.
    pub fn deadline(&self, rtt: Duration) -> Option<Instant> {
        self.flights.front().map(|flight| flight.at + self.patience(flight, rtt))
    }

    /// Those that are lost, except what is in `over`; they are not on their way any more.
    pub fn take_lost(&mut self, over: &RangeSet, rtt: Duration, now: Instant) -> Vec<(Sequence, Sequence)> {
        let mut lost = Vec::new();
        while let Some(&flight) = self.flights.front() {
            let missing = over.missing(flight.start, flight.end);
            if !missing.is_empty() && now < flight.at + self.patience(&flight, rtt) {
                break;
            }
            lost.extend(missing);
            self.flights.pop_front();
        }
        lost
    }

    /// A new link: nothing is on its way.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn patience(&self, flight: &Flight, rtt: Duration) -> Duration {
        let rtt = if rtt.is_zero() { UNMEASURED } else { rtt };
        if self.arrived.is_some_and(|arrived| arrived > flight.at) {
            rtt * 9 / 8 + GRANULARITY
        } else {
            3 * rtt + 2 * NEWS_DELAY
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    #[test]
    fn what_left_before_something_that_arrived_is_lost_after_a_round_trip() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let (mut flights, mut over) = (Flights::default(), RangeSet::default());
        for (sequence, ms) in [(0, 0), (1, 0), (2, 10), (3, 20)] {
            flights.sent(sequence, at(ms));
        }
        over.insert_range(2, 3);
        flights.arrived(2, 3);
        assert_eq!(flights.deadline(RTT), Some(at(46)));
        assert_eq!(flights.take_lost(&over, RTT, at(45)), []);
        assert_eq!(flights.take_lost(&over, RTT, at(46)), [(0, 2)]);
        assert_eq!(flights.deadline(RTT), Some(at(20 + 170)), "the last one has only the probe timeout");
    }

    #[test]
    fn silence_loses_everything_after_a_probe_timeout() {
        let now = Instant::now();
        let mut flights = Flights::default();
        flights.sent(7, now);
        let timeout = flights.deadline(RTT).unwrap();
        assert_eq!(timeout, now + Duration::from_millis(170));
        assert_eq!(flights.take_lost(&RangeSet::default(), RTT, timeout), [(7, 8)]);
        assert_eq!(flights.deadline(RTT), None);
    }

    #[test]
    fn what_has_arrived_is_not_lost_and_needs_no_timer() {
        let now = Instant::now();
        let mut flights = Flights::default();
        (0..4).for_each(|sequence| flights.sent(sequence, now));
        flights.arrived(0, 4);
        assert_eq!(flights.take_lost(&RangeSet::all_below(4), RTT, now), []);
        assert_eq!(flights.deadline(RTT), None);
    }
}
