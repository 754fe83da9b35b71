//! Tasks that wait for something to happen in a session, and whom to wake for what.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::task::Waker;

use crate::id::{Epoch, Sequence};
use crate::protocol::types::{ChannelKey, Progress, Progressed};

/// A place in a queue, held by a future. It must be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Tasks in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    next: u64,
    waiting: BTreeMap<Ticket, Waker>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether whoever holds this ticket, or comes without one, is next.
    pub(crate) fn is_turn_of(&self, ticket: Option<Ticket>) -> bool {
        match (self.waiting.keys().next(), ticket) {
            (None, _) => true,
            (first, ticket) => first.copied() == ticket,
        }
    }

    /// Takes a place at the end, or keeps the one that the ticket stands for.
    pub(crate) fn wait(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next += 1;
            Ticket(self.next)
        });
        match self.waiting.get_mut(&ticket) {
            Some(known) => known.clone_from(waker),
            None => drop(self.waiting.insert(ticket, waker.clone())),
        }
    }

    /// Gives a place back. Yields whom to wake if that was the first one.
    pub(crate) fn leave(&mut self, ticket: Option<Ticket>) -> Option<Waker> {
        let was_first = self.is_turn_of(ticket);
        if let Some(ticket) = ticket {
            self.waiting.remove(&ticket);
        }
        if was_first { self.first() } else { None }
    }

    /// Who is next.
    pub(crate) fn first(&self) -> Option<Waker> {
        self.waiting.values().next().cloned()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Waker> {
        self.waiting.values()
    }
}

/// How far a message must have come for a receipt to resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The peer's session holds it, or it is over.
    Received,
    /// It is over.
    Resolved,
    /// Anywhere else than there, or it is over.
    Beyond(Progress),
}

impl Goal {
    pub(crate) fn is_met_by(&self, progress: &Progress) -> bool {
        match (self, progress) {
            (_, Progress::Resolved(_)) => true,
            (Self::Received, progress) => *progress == Progress::Received,
            (Self::Resolved, _) => false,
            (Self::Beyond(known), progress) => progress != known,
        }
    }
}

/// Receipts that somebody waits for, and only those. Messages whose receipt nobody awaits cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    next: u64,
    channels: BTreeMap<ChannelKey, BTreeMap<ReceiptKey, (Goal, Waker)>>,
}

/// Which message a receipt is of, and which of those who wait for it.
type ReceiptKey = (Epoch, Sequence, Ticket);

impl Receipts {
    pub(crate) fn wait(
        &mut self,
        channel: ChannelKey,
        (epoch, sequence): (Epoch, Sequence),
        goal: Goal,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next += 1;
            Ticket(self.next)
        });
        self.channels.entry(channel).or_default().insert((epoch, sequence, ticket), (goal, waker.clone()));
    }

    pub(crate) fn leave(
        &mut self,
        channel: ChannelKey,
        (epoch, sequence): (Epoch, Sequence),
        ticket: Ticket,
    ) {
        if let Some(receipts) = self.channels.get_mut(&channel) {
            receipts.remove(&(epoch, sequence, ticket));
            if receipts.is_empty() {
                self.channels.remove(&channel);
            }
        }
    }

    /// Takes out those of a channel whose goal is met, looking only at messages that have come further.
    pub(crate) fn take_met(
        &mut self,
        channel: ChannelKey,
        progressed: Option<Progressed>,
        mut progress: impl FnMut(Epoch, Sequence) -> Progress,
        woken: &mut Vec<Waker>,
    ) {
        let Some(receipts) = self.channels.get_mut(&channel) else { return };
        let mut met = Vec::new();
        for span in spans(progressed) {
            let looked_at = receipts
                .range(span)
                .filter(|&(&(epoch, sequence, _), (goal, _))| goal.is_met_by(&progress(epoch, sequence)));
            met.extend(looked_at.map(|(key, _)| *key));
        }
        woken.extend(met.iter().filter_map(|key| receipts.remove(key)).map(|(_, waker)| waker));
        if receipts.is_empty() {
            self.channels.remove(&channel);
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Waker> {
        self.channels.values().flat_map(BTreeMap::values).map(|(_, waker)| waker)
    }
}

/// Those who wait for news of the large messages on their way to one inbox.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    /// Counts the changes.
    pub(crate) version: u64,
    waiting: Queue,
}

impl Transfers {
    pub(crate) fn wait(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        self.waiting.wait(ticket, waker);
    }

    pub(crate) fn leave(&mut self, ticket: Option<Ticket>) {
        // All of them are woken for each change, so nobody needs to be told.
        drop(self.waiting.leave(ticket));
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Waker> {
        self.waiting.all()
    }
}

/// Where the receipts of these messages are, and of all former epochs.
fn spans(progressed: Option<Progressed>) -> Vec<(Bound<ReceiptKey>, Bound<ReceiptKey>)> {
    let Some(Progressed { epoch, ranges }) = progressed else {
        return vec![(Bound::Unbounded, Bound::Unbounded)];
    };
    let first = |sequence| (epoch, sequence, Ticket(0));
    let others = [
        (Bound::Unbounded, Bound::Excluded(first(0))),
        (Bound::Excluded((epoch, Sequence::MAX, Ticket(u64::MAX))), Bound::Unbounded),
    ];
    let ranges = ranges.into_iter().filter(|(start, end)| start < end);
    let these = ranges.map(|(start, end)| (Bound::Included(first(start)), Bound::Excluded(first(end))));
    others.into_iter().chain(these).collect()
}

/// Everyone who waits for something in one session.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) senders: BTreeMap<ChannelKey, Queue>,
    pub(crate) receivers: BTreeMap<ChannelKey, Waker>,
    /// One for each inbox that there is.
    pub(crate) transfers: BTreeMap<ChannelKey, Transfers>,
    pub(crate) receipts: Receipts,
    pub(crate) incoming: Queue,
}

impl Waiting {
    /// Gives back a place in the line of senders. Yields whom to wake.
    pub(crate) fn leave_line(&mut self, channel: ChannelKey, ticket: &mut Option<Ticket>) -> Option<Waker> {
        let line = self.senders.get_mut(&channel)?;
        let next = line.leave(ticket.take());
        if line.is_empty() {
            self.senders.remove(&channel);
        }
        next
    }

    /// A channel may be read: yields whom to wake, those who wait for transfers too if it has ended.
    pub(crate) fn readable(&mut self, channel: ChannelKey, ended: bool, woken: &mut Vec<Waker>) {
        woken.extend(self.receivers.remove(&channel));
        if ended && let Some(transfers) = self.transfers.get(&channel) {
            woken.extend(transfers.all().cloned());
        }
    }

    /// What is on its way to an inbox has changed.
    pub(crate) fn transfer_changed(&mut self, channel: ChannelKey, woken: &mut Vec<Waker>) {
        if let Some(transfers) = self.transfers.get_mut(&channel) {
            transfers.version += 1;
            woken.extend(transfers.all().cloned());
        }
    }

    /// Everyone, for the end of the session.
    pub(crate) fn wake_all(&self, woken: &mut Vec<Waker>) {
        let senders = self.senders.values().flat_map(Queue::all);
        let transfers = self.transfers.values().flat_map(Transfers::all);
        let waiting = senders.chain(self.receivers.values()).chain(self.receipts.all());
        woken.extend(waiting.chain(transfers).chain(self.incoming.all()).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waker() -> Waker {
        Waker::noop().clone()
    }

    #[test]
    fn a_queue_is_served_in_order_and_a_place_given_back_moves_it_on() {
        let mut queue = Queue::default();
        let (mut first, mut second) = (None, None);
        assert!(queue.is_turn_of(None));
        queue.wait(&mut first, &waker());
        queue.wait(&mut second, &waker());
        assert!(queue.is_turn_of(first) && !queue.is_turn_of(second) && !queue.is_turn_of(None));
        assert!(queue.leave(second).is_none());
        queue.wait(&mut second, &waker());
        assert!(queue.leave(first).is_some());
        assert!(queue.is_turn_of(second));
        assert!(queue.leave(second).is_none() && queue.is_empty());
    }

    #[test]
    fn exactly_the_receipts_whose_goal_is_met_are_taken() {
        let (channel, epoch) = (ChannelKey(1), Epoch::new(1).unwrap());
        let mut receipts = Receipts::default();
        let partly = |received| Progress::Partly { received, size: 100 };
        for (sequence, goal) in [
            (0, Goal::Resolved),
            (1, Goal::Received),
            (1, Goal::Resolved),
            (2, Goal::Received),
            (0, Goal::Beyond(Progress::Received)),
            (1, Goal::Beyond(Progress::Received)),
            (2, Goal::Beyond(partly(40))),
            (2, Goal::Beyond(partly(41))),
        ] {
            receipts.wait(channel, (epoch, sequence), goal, &mut None, &waker());
        }
        let mut woken = Vec::new();
        let progress = |_, sequence| match sequence {
            0 => Progress::Resolved(crate::error::Outcome::Handled),
            1 => Progress::Received,
            _ => partly(41),
        };
        receipts.take_met(channel, None, progress, &mut woken);
        assert_eq!((woken.len(), receipts.all().count()), (4, 4));
        receipts.take_met(channel, None, progress, &mut woken);
        assert_eq!(woken.len(), 4);
    }

    #[test]
    fn whoever_waits_for_transfers_is_woken_by_each_change_and_by_the_end_only() {
        let (inbox, other) = (ChannelKey(1), ChannelKey(2));
        let mut waiting = Waiting::default();
        let mut ticket = None;
        waiting.transfers.entry(inbox).or_default().wait(&mut ticket, &waker());
        let mut woken = Vec::new();
        waiting.transfer_changed(other, &mut woken);
        waiting.readable(inbox, false, &mut woken);
        assert_eq!(woken.len(), 0);
        waiting.transfer_changed(inbox, &mut woken);
        assert_eq!((woken.len(), waiting.transfers[&inbox].version), (1, 1));
        waiting.readable(inbox, true, &mut woken);
        waiting.wake_all(&mut woken);
        assert_eq!(woken.len(), 3);
        waiting.transfers.get_mut(&inbox).unwrap().leave(ticket);
        waiting.wake_all(&mut woken);
        assert_eq!(woken.len(), 3);
        assert_eq!(waiting.transfers.len(), 1, "no entry comes from a change");
    }

    #[test]
    fn each_receipt_is_looked_at_when_its_message_comes_further_and_at_no_other_time() {
        const MESSAGES: u64 = 10_000;
        let (channel, epoch) = (ChannelKey(1), Epoch::new(5).unwrap());
        let mut receipts = Receipts::default();
        for sequence in 0..MESSAGES {
            receipts.wait(channel, (epoch, sequence), Goal::Resolved, &mut None, &waker());
        }
        let (mut looks, mut woken) = (0, Vec::new());
        // The second half in order, then the first half in pieces from its end: what an unordered channel may do.
        let half = MESSAGES / 2;
        let later = (half..MESSAGES).step_by(10).map(|start| (start, start + 10));
        let earlier = (0..half).step_by(10).map(|passed| (half - passed - 10, half - passed));
        for range in later.chain(earlier) {
            let progressed = Progressed { epoch, ranges: vec![range] };
            let progress = |_, _| {
                looks += 1;
                Progress::Resolved(crate::error::Outcome::Handled)
            };
            receipts.take_met(channel, Some(progressed), progress, &mut woken);
        }
        assert_eq!((looks, woken.len() as u64, receipts.all().count()), (MESSAGES, MESSAGES, 0));
    }

    #[test]
    fn receipts_of_former_epochs_are_taken_whichever_way_the_epochs_sort() {
        let channel = ChannelKey(1);
        let epochs = [1, 5, 9].map(|epoch| Epoch::new(epoch).unwrap());
        let mut receipts = Receipts::default();
        for epoch in epochs {
            receipts.wait(channel, (epoch, 7), Goal::Resolved, &mut None, &waker());
        }
        let progress = |epoch, _| match epoch == epochs[1] {
            true => Progress::Accepted,
            false => Progress::Resolved(crate::error::Outcome::Unknown),
        };
        let mut woken = Vec::new();
        let progressed = Progressed { epoch: epochs[1], ranges: Vec::new() };
        receipts.take_met(channel, Some(progressed), progress, &mut woken);
        assert_eq!((woken.len(), receipts.all().count()), (2, 1));
    }
}
