//! Counts what two peers said and heard, from message ids and receipts alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bowline::error::Outcome;
use bowline::id::MessageId;

use crate::notice::Notice;

/// What became of every message of a conversation, both directions.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sent: BTreeSet<MessageId>,
    handled: BTreeSet<MessageId>,
    /// How often each message was heard.
    heard: BTreeMap<MessageId, u64>,
    /// The last message heard from each side, which is known by its epoch and channel.
    latest: BTreeMap<(u64, u32), u64>,
    out_of_order: u64,
}

impl Tally {
    /// Takes note of what one of the sides was told.
    pub(crate) fn count(&mut self, notice: &Notice) {
        match notice {
            Notice::Accepted { id, .. } => {
                self.sent.insert(*id);
            }
            Notice::Ended { id, outcome: Outcome::Handled } => {
                self.handled.insert(*id);
            }
            Notice::Message { id, .. } => self.count_heard(*id),
            _ => {}
        }
    }

    fn count_heard(&mut self, id: MessageId) {
        let times = self.heard.entry(id).or_default();
        *times += 1;
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

    fn lost(&self) -> usize {
        self.sent.iter().filter(|id| !self.heard.contains_key(id)).count()
    }

    fn doubled(&self) -> u64 {
        self.heard.values().map(|times| times - 1).sum()
    }

    /// Whether every message was handled once and in order, and nothing else was heard.
    pub(crate) fn is_perfect(&self) -> bool {
        self.sent == self.handled
            && self.sent.iter().eq(self.heard.keys())
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
            self.out_of_order
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
        notices.into_iter().for_each(|notice| tally.count(&notice));
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
    fn a_message_that_nobody_sent_is_not_perfect() {
        assert!(!tally([heard(id(1, 1))]).is_perfect());
    }
}
