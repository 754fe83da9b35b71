//! How much quinn holds of what was not yet acknowledged.
//!
//! quinn takes whatever fits its send window, sent or not. A window of twice the congestion window keeps the
//! connection busy, and leaves the rest to us: there it can still be overtaken by control frames.

use quinn::Connection;

const WINDOW_MIN: u64 = 64 * 1024;

/// What control frames may use when channel data has filled the window.
const RESERVE: u64 = 64 * 1024;

/// The send window of one connection.
#[derive(Debug)]
pub(super) struct SendWindow {
    bytes: u64,
    reserve_open: bool,
}

impl SendWindow {
    pub(super) fn new(connection: &Connection) -> Self {
        let mut window = Self { bytes: 0, reserve_open: false };
        window.refresh(connection);
        window
    }

    /// Follows the congestion window. Whether there is more room now.
    pub(super) fn refresh(&mut self, connection: &Connection) -> bool {
        let wanted = WINDOW_MIN.max(2 * connection.stats().path.cwnd);
        // Each change wakes the connection, so small ones are left alone.
        if wanted.abs_diff(self.bytes) <= self.bytes / 8 {
            return false;
        }
        let grows = wanted > self.bytes;
        self.bytes = wanted;
        self.apply(connection);
        grows
    }

    /// Opens or closes what is kept for control frames. Whether that changed anything.
    pub(super) fn set_reserve(&mut self, connection: &Connection, open: bool) -> bool {
        let changed = std::mem::replace(&mut self.reserve_open, open) != open;
        if changed {
            self.apply(connection);
        }
        changed
    }

    fn apply(&self, connection: &Connection) {
        connection.set_send_window(self.bytes + if self.reserve_open { RESERVE } else { 0 });
    }
}
