//! What has happened to the messages of a run, so that a test can show that it has tested something.

use bowline::config::{Delivery, LARGE};
use bowline::error::Outcome;
use bowline::protocol::types::{ChannelStats, Delivered};

use crate::model::mode_index;

/// Messages above this do not fit a datagram of the fake network.
const ONE_DATAGRAM: usize = 1160;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    /// In the order of `Delivery::ALL`.
    pub(crate) accepted_by: [u64; 5],
    pub(crate) delivered: u64,
    pub(crate) delivered_by: [u64; 5],
    pub(crate) again: u64,
    pub(crate) redelivered: u64,
    pub(crate) handled: u64,
    pub(crate) rejected: u64,
    pub(crate) rejected_in_part: u64,
    pub(crate) unknown: u64,
    /// Unreliable messages that left.
    pub(crate) given: u64,
    pub(crate) dropped: u64,
    /// Before anything of it was written, on the way, and after it arrived.
    pub(crate) expired_unwritten: u64,
    pub(crate) expired_skipped: u64,
    pub(crate) expired_arrived: u64,
    pub(crate) superseded_unwritten: u64,
    pub(crate) superseded_written: u64,
    pub(crate) cancelled_unwritten: u64,
    pub(crate) cancelled_written: u64,
    pub(crate) extended: u64,
    /// The receiver heard of it before, and after the message.
    pub(crate) extended_before: u64,
    pub(crate) extended_after: u64,
    /// Messages passed over in an order.
    pub(crate) skipped: u64,
    /// Delivered: above `LARGE`; unreliable ones that took several datagrams.
    pub(crate) large: u64,
    pub(crate) reassembled: u64,
    /// From the statistics of the channels that there are at the end.
    pub(crate) retransmitted: u64,
    pub(crate) overflowed: u64,
    pub(crate) stale: u64,
    pub(crate) late: u64,
    pub(crate) missing: u64,
}

impl Counts {
    pub(crate) fn count_delivery(&mut self, message: &Delivered, mode: Delivery) {
        self.delivered += 1;
        self.delivered_by[mode_index(mode)] += 1;
        self.redelivered += u64::from(message.redelivered);
        self.large += u64::from(message.payload.len() > LARGE);
        self.reassembled += u64::from(!mode.is_reliable() && message.payload.len() > ONE_DATAGRAM);
    }

    pub(crate) fn count_outcome(&mut self, outcome: &Outcome, mode: Delivery, written: bool, arrived: bool) {
        *match (outcome, written, arrived) {
            (Outcome::Handled, ..) => &mut self.handled,
            (Outcome::Rejected { .. }, ..) => &mut self.rejected,
            (Outcome::Unknown, ..) if mode.is_reliable() => &mut self.unknown,
            (Outcome::Unknown, ..) => &mut self.given,
            (Outcome::Dropped, ..) => &mut self.dropped,
            (Outcome::Expired, false, _) => &mut self.expired_unwritten,
            (Outcome::Expired, true, false) => &mut self.expired_skipped,
            (Outcome::Expired, true, true) => &mut self.expired_arrived,
            (Outcome::Superseded, false, _) => &mut self.superseded_unwritten,
            (Outcome::Superseded, true, _) => &mut self.superseded_written,
            (Outcome::Cancelled, false, _) => &mut self.cancelled_unwritten,
            (Outcome::Cancelled, true, _) => &mut self.cancelled_written,
            _ => panic!("an outcome that this model does not know: {outcome:?}"),
        } += 1;
    }

    pub(crate) fn count_stats(&mut self, stats: &ChannelStats) {
        self.retransmitted += stats.retransmitted;
        self.overflowed += stats.overflowed;
        self.stale += stats.stale;
        self.late += stats.late;
        self.missing += stats.missing;
    }

    pub(crate) fn add(&mut self, from: &Self) {
        for index in 0..5 {
            self.accepted_by[index] += from.accepted_by[index];
            self.delivered_by[index] += from.delivered_by[index];
        }
        macro_rules! sum {
            ($($field:ident)*) => { $( self.$field += from.$field; )* };
        }
        sum!(accepted delivered again redelivered handled rejected rejected_in_part unknown given dropped
            expired_unwritten expired_skipped expired_arrived superseded_unwritten superseded_written
            cancelled_unwritten cancelled_written extended extended_before extended_after skipped large
            reassembled retransmitted overflowed stale late missing);
    }
}
