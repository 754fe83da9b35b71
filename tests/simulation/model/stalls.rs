//! Receivers that take nothing for a while, and processes that do nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline::SessionId;

use super::{Lane, LaneId, Ledger};
use crate::world::Who;

impl Ledger {
    /// A process does nothing for so long from now on.
    pub(crate) fn stops(&self, who: Who, length: Duration) {
        self.count("stopped");
        let now = self.now();
        self.book().stops.push((who, now, length));
    }

    /// The receiver of what comes on a label does not take it now, or does again. Whether anything has come on it before.
    pub(crate) fn stalled(&self, to: Who, session: SessionId, label: &str, stalled: bool) -> bool {
        let now = self.now();
        let mut book = self.book();
        // What begins meanwhile is stalled, too.
        let name = (to, session, label.to_owned());
        match stalled {
            true => _ = book.stalled.insert(name, now),
            false => _ = book.stalled.remove(&name),
        }
        let here = |((from, of, ..), lane): &(&LaneId, &Lane)| {
            *from == to.other() && *of == session && lane.label == label
        };
        let keys: BTreeSet<_> = book.lanes.iter().filter(here).map(|(_, lane)| lane.key).collect();
        for key in &keys {
            match stalled {
                true => book.history.stalled(now, *key),
                false => book.history.resumed(now, *key),
            }
        }
        !keys.is_empty()
    }
}
