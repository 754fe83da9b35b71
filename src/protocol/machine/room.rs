//! How much channel data the link takes, and who passes when it is full.
//!
//! A large message fills whatever room there is, and it is a round trip until the link has room again. So messages that travel whole
//! may go beyond it, as a flow that comes after a pause goes before those with a queue (FQ-CoDel, RFC 8290 section 4.2): by a few, and
//! by as much again as large messages have been written since, so that they can never keep those from being written.

use super::ready::Part;

/// Bytes of messages beyond a full link.
const PASSING: i64 = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    bytes: i64,
    passing: i64,
}

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Everything,
    Records,
    Nothing,
}

impl Room {
    /// As long as the driver has not said how much it takes.
    pub(super) fn closed() -> Self {
        Self { bytes: 0, passing: 0 }
    }

    pub(super) fn give(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn takes(&self) -> Takes {
        match (self.bytes > 0, self.passing > 0) {
            (true, _) => Takes::Everything,
            (false, true) => Takes::Records,
            (false, false) => Takes::Nothing,
        }
    }

    pub(super) fn spend(&mut self, part: Part, bytes: i64) {
        match part {
            Part::Bodies => self.passing = PASSING.min(self.passing.saturating_add(bytes)),
            Part::Records if self.bytes <= 0 => self.passing -= bytes,
            Part::Records => {}
        }
        self.bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_beyond_what_large_ones_have_filled_as_far_as_these_were_written() {
        let mut room = Room::closed();
        assert_eq!(room.takes(), Takes::Nothing);
        room.give(2_000);
        room.spend(Part::Records, 1_000);
        room.spend(Part::Bodies, 1_000);
        assert_eq!(room.takes(), Takes::Records);
        room.spend(Part::Records, 600);
        assert_eq!(room.takes(), Takes::Records);
        room.spend(Part::Records, 600);
        assert_eq!(room.takes(), Takes::Nothing, "1,000 bytes of large ones for 1,200 of others");
        room.give(1_200);
        assert_eq!(room.takes(), Takes::Nothing, "what went beyond is paid back first");
        room.give(1);
        assert_eq!(room.takes(), Takes::Everything);
    }

    #[test]
    fn however_much_large_ones_have_written_few_pass() {
        let mut room = Room::closed();
        room.give(1 << 30);
        room.spend(Part::Bodies, 1 << 30);
        room.spend(Part::Records, PASSING);
        assert_eq!(room.takes(), Takes::Nothing);
    }

    #[test]
    fn without_large_ones_there_is_nothing_to_pass() {
        let mut room = Room::closed();
        room.give(1_000);
        room.spend(Part::Records, 1_000);
        assert_eq!(room.takes(), Takes::Nothing);
    }
}
