//! A stream of things that come, and its sudden end (rule H4).
//!
//! While the peer alone is sending, nothing else would show that a NAT has forgotten this side: packets of the peer cannot get
//! through, and this side has nothing to say. So when what was flowing stops, the dialer speaks.

use std::time::{Duration, Instant};

/// What comes more rarely than this is no flow.
const FLOW_MAX: Duration = Duration::from_millis(500);
/// So many gaps in a row that last so long together are a flow. An exchange of a few round trips is none.
const FLOW_GAPS: u32 = 4;
const FLOW_LASTS: Duration = Duration::from_millis(500);
/// How many of its gaps a flow may miss.
const GAPS: u32 = 8;
/// Bounds of that; the lower one is three probe timeouts at least.
const POKE_MIN: Duration = Duration::from_millis(150);
const POKE_MAX: Duration = Duration::from_secs(1);

/// What comes from the peer on one link.
#[derive(Debug, Default)]
pub struct Silence {
    /// When what may be a flow began, and when something came last.
    since: Option<Instant>,
    last: Option<Instant>,
    /// Smoothed as RFC 6298 smooths round trips: an eighth of the new one.
    gap: Duration,
    gaps: u32,
}

impl Silence {
    /// Something came.
    pub fn heard(&mut self, now: Instant) {
        if self.last == Some(now) {
            // It came together with the one before.
            return;
        }
        let gap = self.last.map(|last| now.saturating_duration_since(last));
        match gap {
            Some(gap) if gap > FLOW_MAX => self.end(),
            Some(gap) => {
                self.gap = if self.gaps == 0 { gap } else { self.gap * 7 / 8 + gap / 8 };
                self.gaps = self.gaps.saturating_add(1);
            }
            None => {}
        }
        self.since.get_or_insert(now);
        self.last = Some(now);
    }

    /// When the silence becomes suspicious, given the probe timeout of the path; `None` while nothing was flowing.
    pub fn deadline(&self, probe_timeout: Duration) -> Option<Instant> {
        let least = (3 * probe_timeout).max(POKE_MIN).min(POKE_MAX);
        let patience = (GAPS * self.gap).clamp(least, POKE_MAX);
        let flows = |last: &Instant| self.since.is_some_and(|since| *last >= since + FLOW_LASTS);
        self.last.filter(|last| self.gaps >= FLOW_GAPS && flows(last)).map(|last| last + patience)
    }

    /// The silence was noticed: the flow has ended.
    pub fn end(&mut self) {
        (self.since, self.gaps) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTO: Duration = Duration::from_millis(60);

    fn flowing(gap_ms: u64) -> (Silence, Instant) {
        let (mut silence, mut now) = (Silence::default(), Instant::now());
        for _ in 0..(600 / gap_ms).max(20) {
            now += Duration::from_millis(gap_ms);
            silence.heard(now);
            silence.heard(now);
        }
        (silence, now)
    }

    #[test]
    fn a_flow_that_stops_is_noticed_after_eight_gaps_within_bounds() {
        for (gap, patience) in [(5, 180), (40, 320), (100, 800), (300, 1000)] {
            let (silence, last) = flowing(gap);
            let found = silence.deadline(PTO).map(|at| at - last);
            let wanted = Duration::from_millis(patience);
            assert!(
                found.is_some_and(|found| found.abs_diff(wanted) < Duration::from_millis(2)),
                "{found:?}"
            );
        }
        assert_eq!(
            flowing(40).0.deadline(Duration::from_secs(1)).map(|_| ()),
            Some(()),
            "no bound is crossed"
        );
    }

    #[test]
    fn what_comes_now_and_then_is_no_flow() {
        assert_eq!(flowing(600).0.deadline(PTO), None);
        let (mut silence, last) = flowing(40);
        silence.heard(last + Duration::from_secs(5));
        assert_eq!(silence.deadline(PTO), None, "the flow has ended, and one message is none");
        let (mut silence, _) = flowing(40);
        silence.end();
        assert_eq!(silence.deadline(PTO), None);
        let (mut silence, mut now) = (Silence::default(), last);
        for _ in 0..10 {
            now += Duration::from_millis(40);
            silence.heard(now);
        }
        assert_eq!(silence.deadline(PTO), None, "an exchange of a few round trips");
    }
}
