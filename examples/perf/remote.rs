//! What the side that runs knows of the side that serves: one account for each generation of it, the dead ones included.

use crate::control::{Received, Report, Sent};

/// Times without a delivery that are told apart: the longest ones.
const GAPS_MAX: usize = 64;

/// One generation of the serving side.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    pub(crate) generation: u32,
    /// What it said last.
    report: Option<Report>,
    /// Nanoseconds that its calendar is ahead of the one here.
    ahead_ns: i64,
    /// It was replaced; until then so many messages of this side were handled.
    died: Option<u64>,
}

/// What all generations amount to.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) sent: Sent,
    pub(crate) received: Received,
    pub(crate) answers: Received,
    pub(crate) cpu_ns: Option<u64>,
}

impl Remote {
    pub(crate) fn new(generation: u32) -> Self {
        Self { generation, ..Self::default() }
    }

    /// It began at `theirs` of its calendar, between `asked` and `told` of the one here.
    pub(crate) fn began(&mut self, asked: u64, theirs: u64, told: u64) {
        // On one machine it always lies between, and then there is nothing to correct.
        if !(asked..=told).contains(&theirs) {
            self.ahead_ns = (theirs as i64).wrapping_sub((asked / 2 + told / 2) as i64);
        }
    }

    pub(crate) fn report(&mut self, mut report: Report) {
        report.sent.shift(self.ahead_ns);
        report.received.shift(self.ahead_ns);
        report.answers.shift(self.ahead_ns);
        self.report = Some(report);
    }

    /// It is no more.
    pub(crate) fn die(&mut self, handled: u64) {
        self.died = Some(handled);
    }

    /// All that it sent has its outcome.
    pub(crate) fn is_settled(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.settled)
    }

    /// It has said its last.
    pub(crate) fn is_complete(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.last)
    }

    /// How much it is known to have sent, taken and got answers to.
    pub(crate) fn progress(&self) -> [u64; 3] {
        let of = |report: &Report| [report.sent.sent, report.received.delivered, report.answers.delivered];
        self.report.as_ref().map(of).unwrap_or_default()
    }
}

/// Adds all generations up. `proved`: what the numbers that came from a generation prove it to have sent.
pub(crate) fn account(remotes: &[Remote], proved: impl Fn(u32) -> u64) -> Account {
    let mut account = Account { cpu_ns: Some(0), ..Account::default() };
    let mut handled_before = 0;
    for remote in remotes {
        let Report { mut sent, mut received, answers, cpu_ns, .. } =
            remote.report.clone().unwrap_or_default();
        if let Some(handled) = remote.died {
            // Its last report may be older than its last acknowledgement, and older than its last message.
            received.delivered = received.delivered.max(handled.saturating_sub(handled_before));
            handled_before = handled;
            sent.sent = sent.sent.max(proved(remote.generation));
        }
        account.sent.add(sent);
        account.received.add(received);
        account.answers.add(answers);
        account.cpu_ns = account.cpu_ns.zip(cpu_ns).map(|(sum, more)| sum + more);
    }
    account
}

fn moved(time_ns: u64, ahead_ns: i64) -> u64 {
    if time_ns == 0 { 0 } else { time_ns.saturating_add_signed(ahead_ns.saturating_neg()) }
}

impl Sent {
    fn shift(&mut self, ahead_ns: i64) {
        for time in [&mut self.first_ns, &mut self.last_ns, &mut self.settled_ns] {
            *time = moved(*time, ahead_ns);
        }
    }

    /// What a later generation sent.
    fn add(&mut self, later: Self) {
        self.sent += later.sent;
        self.handled += later.handled;
        self.superseded += later.superseded;
        self.expired += later.expired;
        self.unknown += later.unknown;
        self.dropped += later.dropped;
        if self.first_ns == 0 {
            self.first_ns = later.first_ns;
        }
        self.last_ns = self.last_ns.max(later.last_ns);
        self.settled_ns = self.settled_ns.max(later.settled_ns);
    }
}

impl Received {
    fn shift(&mut self, ahead_ns: i64) {
        let gaps = self.gaps.iter_mut().step_by(2);
        for time in [&mut self.began_ns, &mut self.first_ns, &mut self.last_ns].into_iter().chain(gaps) {
            *time = moved(*time, ahead_ns);
        }
    }

    /// What a later generation saw. Between the two was a gap as well.
    fn add(&mut self, later: Self) {
        self.delivered += later.delivered;
        self.duplicated += later.duplicated;
        self.out_of_order += later.out_of_order;
        self.corrupted += later.corrupted;
        self.proved = self.proved.max(later.proved);
        self.latencies.extend_from_slice(&later.latencies);
        if self.began_ns == 0 {
            self.began_ns = later.began_ns;
        }
        if later.first_ns == 0 {
            return;
        }
        if self.last_ns != 0 {
            self.gap(self.last_ns, later.first_ns);
        }
        for (at_ns, length_ns) in later.gaps() {
            self.gap(at_ns, at_ns.saturating_add(length_ns));
        }
        if self.first_ns == 0 {
            self.first_ns = later.first_ns;
        }
        self.last_ns = later.last_ns;
    }

    /// Takes note of a time without deliveries, if it is one of the longest.
    pub(crate) fn gap(&mut self, from_ns: u64, to_ns: u64) {
        let gap_ns = to_ns.saturating_sub(from_ns);
        if gap_ns == 0 {
            return;
        }
        if self.gaps.len() < 2 * GAPS_MAX {
            return self.gaps.extend([from_ns, gap_ns]);
        }
        let shortest = self.gaps.as_chunks_mut::<2>().0.iter_mut().min_by_key(|gap| gap[1]);
        if let Some(shortest) = shortest.filter(|gap| gap[1] < gap_ns) {
            *shortest = [from_ns, gap_ns];
        }
    }

    /// The longest times without deliveries, in no order: when each began, and its length.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        self.gaps.as_chunks::<2>().0.iter().map(|[at_ns, gap_ns]| (*at_ns, *gap_ns))
    }

    /// The longest of all, and of several the first; zeros if there was none.
    pub(crate) fn longest_gap(&self) -> (u64, u64) {
        self.gaps().max_by_key(|(at_ns, gap_ns)| (*gap_ns, u64::MAX - at_ns)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(delivered: u64, first_ns: u64, last_ns: u64) -> Received {
        let gaps = vec![first_ns, 5];
        Received { delivered, began_ns: first_ns, first_ns, last_ns, gaps, ..Received::default() }
    }

    fn remote(generation: u32, received: Received) -> Remote {
        let mut remote = Remote::new(generation);
        remote.report(Report { received, cpu_ns: Some(7), ..Report::default() });
        remote
    }

    #[test]
    fn generations_add_up_and_the_time_between_them_is_a_gap() {
        let mut first = remote(0, received(10, 100, 200));
        first.die(12);
        let account = account(&[first, remote(1, received(3, 1_000, 1_100))], |_| 4);
        assert_eq!((account.received.delivered, account.cpu_ns), (12 + 3, Some(14)));
        assert_eq!(account.received.longest_gap(), (200, 800));
        assert_eq!(account.received.gaps().count(), 3, "each has its own, and there is the one between them");
        assert_eq!((account.received.first_ns, account.received.last_ns), (100, 1_100));
        assert_eq!(account.sent.sent, 4, "what came from the dead was sent");
    }

    #[test]
    fn the_longest_gaps_are_kept_and_no_more() {
        let mut received = Received::default();
        received.gap(5, 5);
        assert_eq!(received.longest_gap(), (0, 0));
        for length in 1..=2 * GAPS_MAX as u64 {
            received.gap(1_000 * length, 1_000 * length + length);
        }
        received.gap(7, 7 + 2 * GAPS_MAX as u64);
        assert_eq!(received.longest_gap(), (7, 2 * GAPS_MAX as u64), "of two equal ones the first");
        assert_eq!(received.gaps().count(), GAPS_MAX);
        assert!(received.gaps().all(|(_, length)| length > GAPS_MAX as u64));
    }

    #[test]
    fn another_calendar_is_brought_into_line() {
        let mut far = Remote::new(0);
        far.began(1_000, 501_050, 1_100);
        far.report(Report { received: received(1, 501_100, 501_200), ..Report::default() });
        let account = account(&[far], |_| 0);
        assert_eq!((account.received.first_ns, account.received.last_ns), (1_100, 1_200));
        assert_eq!(account.received.longest_gap(), (1_100, 5));
        assert_eq!(account.cpu_ns, None);
    }
}
