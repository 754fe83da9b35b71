//! Whose turn it is to be written: by priority, and among equals in turns in proportion to their weights (guarantee G14).
//!
//! The large messages of a channel have a turn of their own: they hold up neither the others of their channel nor other
//! channels for longer than that.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use super::room::Takes;
use crate::protocol::types::ChannelKey;

/// Bytes that a channel of weight 1 may write before the next one has its turn.
const TURN: i64 = 16 * 1024;

/// What of a channel is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Messages that travel whole.
    Records,
    /// Pieces of large messages.
    Bodies,
}

/// What a channel gets of the link's time, and has had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) priority: i8,
    pub(super) weight: u8,
    records: Turn,
    bodies: Turn,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// It stands in the queue.
    queued: bool,
    /// Bytes written since its last turn ended.
    written: i64,
}

impl Default for Share {
    fn default() -> Self {
        Self { priority: 0, weight: 1, records: Turn::default(), bodies: Turn::default() }
    }
}

impl Share {
    /// A share as a channel's configuration wants it.
    pub(super) fn new(priority: i8, weight: u8) -> Self {
        Self { priority, weight, ..Self::default() }
    }

    /// Whether any part stands in a queue.
    pub(super) fn is_queued(&self) -> bool {
        self.records.queued || self.bodies.queued
    }

    fn turn(&mut self, part: Part) -> &mut Turn {
        match part {
            Part::Records => &mut self.records,
            Part::Bodies => &mut self.bodies,
        }
    }
}

/// Those with something to write.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// No queue is empty.
    queues: BTreeMap<Reverse<i8>, VecDeque<(ChannelKey, Part)>>,
}

impl Ready {
    /// Whether there is one that the link takes.
    pub(super) fn has(&self, takes: Takes) -> bool {
        match (takes, self.queues.first_key_value()) {
            (Takes::Nothing, _) | (_, None) => false,
            (Takes::Everything, _) => true,
            (Takes::Records, Some((_, queue))) => queue.iter().any(is_records),
        }
    }

    /// Puts a part of a channel at the end of its queue, unless it stands there.
    pub(super) fn push(&mut self, key: ChannelKey, part: Part, share: &mut Share) {
        if !std::mem::replace(&mut share.turn(part).queued, true) {
            self.queues.entry(Reverse(share.priority)).or_default().push_back((key, part));
        }
    }

    /// Whose turn it is, of those that the link takes. It is the first then.
    pub(super) fn first(&mut self, takes: Takes) -> Option<(ChannelKey, Part)> {
        let mut queue = self.queues.first_entry()?;
        let queue = queue.get_mut();
        match takes {
            Takes::Everything => {}
            Takes::Records => {
                let passing = queue.iter().position(is_records).and_then(|index| queue.remove(index))?;
                queue.push_front(passing);
            }
            Takes::Nothing => return None,
        }
        queue.front().copied()
    }

    /// The first has nothing to write.
    pub(super) fn pop(&mut self, share: &mut Share) {
        let Some(mut queue) = self.queues.first_entry() else { return };
        if let Some((_, part)) = queue.get_mut().pop_front() {
            *share.turn(part) = Turn::default();
        }
        if queue.get().is_empty() {
            queue.remove();
        }
    }

    /// The first has written this many bytes.
    pub(super) fn spend(&mut self, bytes: i64, share: &mut Share) {
        let Some(mut queue) = self.queues.first_entry() else { return };
        let Some(&(_, part)) = queue.get().front() else { return };
        let turn = share.turn(part);
        turn.written += bytes;
        if turn.written >= TURN * i64::from(share.weight) {
            share.turn(part).written = 0;
            queue.get_mut().rotate_left(1);
        }
    }

    /// The channel is gone.
    pub(super) fn remove(&mut self, key: ChannelKey) {
        self.queues.retain(|_, queue| {
            queue.retain(|&(ready, _)| ready != key);
            !queue.is_empty()
        });
    }
}

fn is_records((_, part): &(ChannelKey, Part)) -> bool {
    *part == Part::Records
}

#[cfg(test)]
mod tests {
    use super::Takes::Everything;
    use super::*;

    #[test]
    fn the_higher_priority_goes_first_and_equals_share_by_weight() {
        let keys: Vec<ChannelKey> = (0..3).map(ChannelKey).collect();
        let mut shares = [Share::new(0, 1), Share::new(0, 3), Share::new(1, 1)];
        let mut ready = Ready::default();
        for (key, share) in keys.iter().zip(&mut shares) {
            ready.push(*key, Part::Records, share);
            ready.push(*key, Part::Records, share);
        }
        assert_eq!(ready.first(Everything), Some((keys[2], Part::Records)));
        ready.spend(10 * TURN, &mut shares[2]);
        assert_eq!(ready.first(Everything), Some((keys[2], Part::Records)));
        ready.pop(&mut shares[2]);
        let mut written = [0, 0];
        for _ in 0..400 {
            let (ChannelKey(index), _) = ready.first(Everything).unwrap();
            written[index as usize] += 1;
            ready.spend(TURN / 2, &mut shares[index as usize]);
        }
        assert_eq!(written, [100, 300]);
        ready.remove(keys[0]);
        ready.pop(&mut shares[1]);
        assert!(!ready.has(Everything));
    }

    #[test]
    fn large_messages_of_a_channel_take_turns_with_its_others() {
        let (mut ready, mut share) = (Ready::default(), Share::default());
        ready.push(ChannelKey(0), Part::Records, &mut share);
        ready.push(ChannelKey(0), Part::Bodies, &mut share);
        ready.spend(TURN, &mut share);
        assert_eq!(ready.first(Everything), Some((ChannelKey(0), Part::Bodies)));
        ready.spend(TURN, &mut share);
        assert_eq!(ready.first(Everything), Some((ChannelKey(0), Part::Records)));
    }

    #[test]
    fn on_a_full_link_messages_pass_large_ones_but_nobody_who_is_more_important() {
        let (mut ready, mut shares) =
            (Ready::default(), [Share::default(), Share::default(), Share::new(1, 1)]);
        ready.push(ChannelKey(0), Part::Bodies, &mut shares[0]);
        assert!(!ready.has(Takes::Records));
        assert_eq!(ready.first(Takes::Records), None);
        ready.push(ChannelKey(1), Part::Records, &mut shares[1]);
        assert!(ready.has(Takes::Records) && !ready.has(Takes::Nothing));
        assert_eq!(ready.first(Takes::Records), Some((ChannelKey(1), Part::Records)));
        ready.pop(&mut shares[1]);
        assert_eq!(ready.first(Everything), Some((ChannelKey(0), Part::Bodies)));
        ready.push(ChannelKey(1), Part::Records, &mut shares[1]);
        ready.push(ChannelKey(2), Part::Bodies, &mut shares[2]);
        assert_eq!(ready.first(Takes::Records), None, "of a higher priority");
    }
}
