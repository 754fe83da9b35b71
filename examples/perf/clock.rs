//! The two clocks of a measurement.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds of the calendar, which two processes on one machine share.
#[allow(clippy::disallowed_methods, reason = "this program measures")]
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time of this process so far, user and system, in nanoseconds. `None` where the system has no such clock.
pub(crate) fn cpu_ns() -> Option<u64> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let seconds = u64::try_from(time.tv_sec).ok()?;
        Some(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?)
    }
    #[cfg(not(unix))]
    None
}
