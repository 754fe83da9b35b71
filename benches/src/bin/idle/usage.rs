//! What this process uses.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// CPU time so far, user and system, in nanoseconds; 0 where the system has no such clock.
pub(crate) fn cpu_ns() -> u64 {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
    #[cfg(not(unix))]
    0
}

/// Bytes in memory, on Linux.
pub(crate) fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Something that is different each time: the connections of a benchmark keep no secrets.
pub(crate) fn seed() -> [u8; 8] {
    RandomState::new().hash_one(0).to_le_bytes()
}
