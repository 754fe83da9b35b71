//! When to dial again (rules T2 and T5).

use std::time::Duration;

use crate::config::ReconnectPolicy;

/// Waits of the `standard` policy, in seconds: those of the WebSocket clients its users know.
const STANDARD_S: [u64; 7] = [0, 2, 4, 8, 16, 32, 64];
/// First waits of the `responsive` policy, in milliseconds; then [`RESPONSIVE_CAP`] for ever.
const RESPONSIVE_MS: [u64; 4] = [0, 125, 250, 500];
const RESPONSIVE_CAP: Duration = Duration::from_secs(1);

/// Shortest and longest time that one attempt gets.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// Counts attempts since the last success.
#[derive(Debug)]
pub struct Backoff {
    policy: ReconnectPolicy,
    attempt: u32,
}

/// One attempt to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// How long to wait before it.
    pub after: Duration,
    /// How long it may take: the next wait, within 1 s and 10 s.
    pub timeout: Duration,
}

impl Backoff {
    /// Nothing tried yet.
    pub fn new(policy: ReconnectPolicy) -> Self {
        Self { policy, attempt: 0 }
    }

    /// A success: the next loss starts from the first wait.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Attempts since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// The next attempt, or `None` if the policy gives up. `jitter` (0 to 255) shortens the wait by up to 25 %. `took` is how
    /// long the attempt before it has taken: the responsive policy waits from its beginning on, so that somebody knocks all the
    /// time, whereas the standard one leaves radio and server in peace meanwhile.
    pub fn next_attempt(&mut self, took: Duration, jitter: u8) -> Option<Attempt> {
        let wait = self.wait(self.attempt)?;
        let timeout = self.wait(self.attempt + 1).unwrap_or(ATTEMPT_MAX).clamp(ATTEMPT_MIN, ATTEMPT_MAX);
        self.attempt = self.attempt.saturating_add(1);
        let shortened = wait - wait * u32::from(jitter) / (4 * 255);
        let after = match self.policy {
            ReconnectPolicy::Standard => shortened,
            ReconnectPolicy::Responsive => shortened.saturating_sub(took),
        };
        Some(Attempt { number: self.attempt, after, timeout })
    }

    fn wait(&self, attempt: u32) -> Option<Duration> {
        let step = attempt as usize;
        match self.policy {
            ReconnectPolicy::Standard => STANDARD_S.get(step).copied().map(Duration::from_secs),
            ReconnectPolicy::Responsive => {
                Some(RESPONSIVE_MS.get(step).copied().map_or(RESPONSIVE_CAP, Duration::from_millis))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(policy: ReconnectPolicy, jitter: u8, count: usize) -> Vec<u128> {
        let mut backoff = Backoff::new(policy);
        let next = || backoff.next_attempt(Duration::ZERO, jitter);
        std::iter::from_fn(next).take(count).map(|a| a.after.as_millis()).collect()
    }

    #[test]
    fn standard_doubles_to_64_s_and_gives_up() {
        assert_eq!(waits(ReconnectPolicy::Standard, 0, 99), [0, 2000, 4000, 8000, 16_000, 32_000, 64_000]);
    }

    #[test]
    fn responsive_never_waits_longer_than_a_second_and_never_gives_up() {
        assert_eq!(waits(ReconnectPolicy::Responsive, 0, 6), [0, 125, 250, 500, 1000, 1000]);
        assert_eq!(waits(ReconnectPolicy::Responsive, 0, 5000).len(), 5000);
    }

    #[test]
    fn responsive_waits_from_the_beginning_of_the_attempt_before_and_standard_from_its_end() {
        let second = Duration::from_secs(1);
        for (policy, expected) in
            [(ReconnectPolicy::Standard, [0, 2000, 4000]), (ReconnectPolicy::Responsive, [0, 0, 0])]
        {
            let mut backoff = Backoff::new(policy);
            let waits = expected.map(|_| backoff.next_attempt(second, 0).map(|it| it.after.as_millis()));
            assert_eq!(waits, expected.map(Some), "{policy:?}");
        }
        let mut backoff = Backoff::new(ReconnectPolicy::Responsive);
        let last = std::iter::from_fn(|| backoff.next_attempt(second / 5, 0)).take(9).last();
        assert_eq!(last.map(|it| it.after.as_millis()), Some(800), "an attempt that was refused at once");
    }

    #[test]
    fn jitter_only_shortens_and_by_a_quarter_at_most() {
        assert_eq!(waits(ReconnectPolicy::Standard, 255, 3), [0, 1500, 3000]);
    }

    #[test]
    fn an_attempt_gets_its_next_wait_within_one_and_ten_seconds() {
        let mut backoff = Backoff::new(ReconnectPolicy::Standard);
        let timeouts: Vec<u64> = std::iter::from_fn(|| backoff.next_attempt(Duration::ZERO, 0))
            .map(|a| a.timeout.as_secs())
            .collect();
        assert_eq!(timeouts, [2, 4, 8, 10, 10, 10, 10]);
        backoff.reset();
        assert_eq!(
            backoff.next_attempt(Duration::ZERO, 0).map(|a| (a.number, a.timeout.as_secs())),
            Some((1, 2))
        );
    }
}
