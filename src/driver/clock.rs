//! Wall-clock time, from a source that a simulation can replace.

use std::fmt;
use std::time::SystemTime;

/// Tells the calendar time: certificates and address tokens are checked against it.
///
/// Everything that measures or waits uses the instants of the [runtime](quinn::Runtime) instead, because its timers
/// must agree with them. A simulation replaces both.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn wall(&self) -> SystemTime;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the calendar")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
