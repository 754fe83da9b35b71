//! Counts what two peers said and heard, from message ids and receipts alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bowline::error::Outcome;
use bowline::id::MessageId;

use crate::notice::Notice;

/// What became of every message of a conversation, both directions.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// When each message was accepted.
    sent: BTreeMap<MessageId, Duration>,
    handled: BTreeSet<MessageId>,
    /// Messages that ended otherwise.
    failed: BTreeSet<MessageId>,
    /// How often each message was heard.
    heard: BTreeMap<MessageId, u64>,
    /// The last message heard from each side, which is known by its epoch and channel.
    latest: BTreeMap<(u64, u32), u64>,
    out_of_order: u64,
    longest_wait: Duration,
}

impl Tally {
    /// Takes note of what one of the sides was told, and when.
    pub(crate) fn count(&mut self, notice: &Notice, now: Duration) {
        match notice {
            Notice::Accepted { id, .. } => {
                self.sent.insert(*id, now);
            }
            Notice::Ended { id, outcome: Outcome::Handled } => {
                self.handled.insert(*id);
            }
            Notice::Ended { id, .. } => {
                self.failed.insert(*id);
            }
            Notice::Message { id, .. } => self.count_heard(*id, now),
            _ => {}
        }
    }

    fn count_heard(&mut self, id: MessageId, now: Duration) {
        let times = self.heard.entry(id).or_default();
        *times += 1;
        if let Some(sent) = self.sent.get(&id).filter(|_| *times == 1) {
            self.longest_wait = self.longest_wait.max(now.saturating_sub(*sent));
        }
        let latest = self.latest.entry((id.epoch.value(), id.channel.0)).or_insert(id.sequence);
        // A repetition is doubled, not out of order.
        if *times == 1 && id.sequence < *latest {
            self.out_of_order += 1;
        }
        *latest = id.sequence.max(*latest);
    }

    /// Messages accepted on either side.
    pub(crate) fn sent(&self) -> usize {
        self.sent.len()
    }

    /// Messages whose sender knows that they were handled.
    pub(crate) fn handled(&self) -> usize {
        self.handled.len()
    }

    /// Messages whose sender knows what became of them.
    pub(crate) fn ended(&self) -> usize {
        self.handled.len() + self.failed.len()
    }

    /// Messages that nobody heard.
    pub(crate) fn lost(&self) -> usize {
        self.sent.keys().filter(|id| !self.heard.contains_key(id)).count()
    }

    /// How often a message was heard again.
    pub(crate) fn doubled(&self) -> u64 {
        self.heard.values().map(|times| times - 1).sum()
    }

    /// Messages heard after one that was sent later.
    pub(crate) fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    /// The longest time between a message's acceptance and the moment it was heard.
    pub(crate) fn longest_wait(&self) -> Duration {
        self.longest_wait
    }

    /// Whether every message was handled once and in order, and nothing else was heard.
    pub(crate) fn is_perfect(&self) -> bool {
        self.sent.keys().eq(&self.handled)
            && self.sent.keys().eq(self.heard.keys())
            && self.doubled() == 0
            && self.out_of_order == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent={} handled={} lost={} doubled={} out_of_order={}",
            self.sent(),
            self.handled(),
            self.lost(),
            self.doubled(),
            self.out_of_order()
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bowline::id::{ChannelId, Epoch, SessionId};

    use super::*;

    /// A message of the side with this epoch.
    pub(crate) fn id(epoch: u64, sequence: u64) -> MessageId {
        let epoch = Epoch::new(epoch).expect("not zero");
        MessageId { session: SessionId::from_bytes([7; 16]), epoch, channel: ChannelId(0), sequence }
    }

    fn sent(id: MessageId) -> [Notice; 2] {
        [Notice::Accepted { id, text: "hi".to_owned() }, Notice::Ended { id, outcome: Outcome::Handled }]
    }

    fn heard(id: MessageId) -> Notice {
        Notice::Message { id, from: "ada".to_owned(), text: "hi".to_owned() }
    }

    fn tally(notices: impl IntoIterator<Item = Notice>) -> Tally {
        let mut tally = Tally::default();
        for (n, notice) in notices.into_iter().enumerate() {
            tally.count(&notice, Duration::from_secs(n as u64));
        }
        tally
    }

    #[test]
    fn both_directions_are_counted_apart() {
        let ids = [id(1, 1), id(1, 3), id(2, 1), id(2, 2)];
        let interleaved = [id(2, 1), id(1, 1), id(1, 3), id(2, 2)];
        let tally = tally(ids.into_iter().flat_map(sent).chain(interleaved.map(heard)));
        assert_eq!(tally.to_string(), "sent=4 handled=4 lost=0 doubled=0 out_of_order=0");
        assert!(tally.is_perfect());
    }

    #[test]
    fn what_went_wrong_is_told_apart() {
        let ids = [id(1, 1), id(1, 2), id(1, 3), id(1, 4)];
        let all = ids.into_iter().flat_map(sent);
        let tally = tally(all.chain([id(1, 2), id(1, 1), id(1, 3), id(1, 3)].map(heard)));
        assert_eq!(tally.to_string(), "sent=4 handled=4 lost=1 doubled=1 out_of_order=1");
        assert!(!tally.is_perfect());
    }

    #[test]
    fn a_message_without_its_receipt_is_not_handled() {
        let [accepted, _] = sent(id(1, 1));
        let tally = tally([accepted, heard(id(1, 1))]);
        assert_eq!(tally.to_string(), "sent=1 handled=0 lost=0 doubled=0 out_of_order=0");
        assert!(!tally.is_perfect());
    }

    #[test]
    fn a_message_that_ended_otherwise_is_not_perfect() {
        let ended = Notice::Ended { id: id(1, 1), outcome: Outcome::Unknown };
        let [accepted, _] = sent(id(1, 1));
        let tally = tally([accepted, heard(id(1, 1)), ended]);
        assert_eq!((tally.ended(), tally.handled()), (1, 0));
        assert!(!tally.is_perfect());
    }

    #[test]
    fn the_longest_wait_ends_when_a_message_is_heard_first() {
        let [one, two] = [id(1, 1), id(1, 2)].map(|id| sent(id)[0].clone());
        let [heard_one, heard_two] = [id(1, 1), id(1, 2)].map(heard);
        // A message a second: the first waits 2 s, the second 3 s, and its repetition does not count.
        let tally = tally([
            one,
            heard(id(2, 9)),
            heard_one,
            two,
            heard(id(2, 10)),
            heard(id(2, 11)),
            heard_two.clone(),
            heard_two,
        ]);
        assert_eq!(tally.longest_wait(), Duration::from_secs(3));
    }

    #[test]
    fn a_message_that_nobody_sent_is_not_perfect() {
        assert!(!tally([heard(id(1, 1))]).is_perfect());
    }
}
