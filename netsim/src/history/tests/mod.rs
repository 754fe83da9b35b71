//! Each checker catches each way of breaking its promise, and lets pass what is legal.

mod legal;
mod liveness;
mod safety;
mod truth;

use super::*;

/// A history of one message stream from alice to bob, in words.
pub(super) struct Scene {
    pub(super) history: History,
    pub(super) lane: ChannelKey,
    pub(super) bounds: Bounds,
}

pub(super) const ALICE: &str = "alice";
pub(super) const BOB: &str = "bob";

/// The epoch that is meant where none is named.
pub(super) const EPOCH: u64 = 7;

pub(super) fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

impl Scene {
    pub(super) fn new(mode: Mode) -> Self {
        let mut history = History::new();
        let lane = history.channel(ALICE, BOB, "chat", mode);
        Self { history, lane, bounds: Bounds::new() }
    }

    pub(super) fn m(&self, sequence: u64) -> MessageKey {
        self.lane.message(EPOCH, sequence)
    }

    pub(super) fn send(&mut self, at: u64, sequence: u64) -> &mut Self {
        let message = self.m(sequence);
        self.history.sent(ms(at), message, Sent::new(&sequence.to_le_bytes()));
        self
    }

    pub(super) fn send_until(&mut self, at: u64, sequence: u64, deadline: u64) -> &mut Self {
        let sent = Sent::new(&sequence.to_le_bytes()).deadline(ms(deadline));
        let message = self.m(sequence);
        self.history.sent(ms(at), message, sent);
        self
    }

    pub(super) fn take(&mut self, at: u64, sequence: u64) -> &mut Self {
        let message = self.m(sequence);
        self.history.handled(ms(at), message, &sequence.to_le_bytes());
        self
    }

    /// Handed over, with a mark, and not yet acknowledged.
    pub(super) fn give(&mut self, at: u64, sequence: u64, attempt: u32, resent: bool) -> &mut Self {
        let mut handover = Handover::new(&sequence.to_le_bytes()).attempt(attempt);
        if resent {
            handover = handover.resent();
        }
        let message = self.m(sequence);
        self.history.handed_over(ms(at), message, handover);
        self
    }

    pub(super) fn acknowledge(&mut self, at: u64, sequence: u64) -> &mut Self {
        let message = self.m(sequence);
        self.history.acknowledged(ms(at), message);
        self
    }

    pub(super) fn tell(&mut self, at: u64, sequence: u64, outcome: Outcome) -> &mut Self {
        let message = self.m(sequence);
        self.history.receipt(ms(at), message, outcome);
        self
    }

    pub(super) fn skip(&mut self, at: u64, sequences: RangeInclusive<u64>) -> &mut Self {
        self.history.skipped(ms(at), self.lane, EPOCH, sequences);
        self
    }

    /// Sent, taken and told, 10 ms apart.
    pub(super) fn whole(&mut self, at: u64, sequence: u64) -> &mut Self {
        self.send(at, sequence).take(at + 10, sequence).tell(at + 20, sequence, Outcome::Handled)
    }

    #[track_caller]
    pub(super) fn breaks(&self, name: &str, guarantees: &[Guarantee], says: &str) {
        let verdict = self.history.check(&self.bounds);
        let broken: Vec<_> = verdict.violations().iter().map(|it| it.guarantee).collect();
        let told: Vec<_> = verdict.violations().iter().map(Violation::to_string).collect();
        assert_eq!(broken, guarantees, "{name}: {told:#?}");
        assert!(told.iter().any(|line| line.contains(says)), "{name}: {says:?} is missing in {told:#?}");
        assert!(guarantees.iter().all(|it| verdict.judged(*it) > 0), "{name}: {verdict:?}");
    }

    /// Is legal, and tests at least these.
    #[track_caller]
    pub(super) fn keeps(&self, name: &str, tested: &[Guarantee]) {
        let verdict = self.history.check(&self.bounds).require(tested);
        assert!(verdict.is_ok(), "{name}:\n{}", verdict.unwrap_err());
    }
}

/// A hundred thousand messages with a duplicate in the middle; the checkers stay linear, or this takes for ever.
#[test]
fn a_long_history_is_checked_whole() {
    let mut scene = Scene::new(Mode::ReliableOrdered);
    for sequence in 0..100_000 {
        if sequence % 2 == 0 {
            scene.whole(sequence * 10, sequence);
        } else {
            let expired = sequence * 10 + 5;
            scene.send_until(sequence * 10, sequence, expired).skip(expired, sequence..=sequence);
            scene.tell(expired, sequence, Outcome::Expired);
        }
    }
    scene.keeps("long", &[Guarantee::G1, Guarantee::G4, Guarantee::G7]);
    scene.take(2_000_000, 50_000);
    let verdict = scene.history.check(&Bounds::new().drained_within(std::time::Duration::from_secs(1)));
    assert_eq!(verdict.violations().len(), 2, "{:?}", verdict.violations());
    assert_eq!(verdict.violations()[1].guarantee, Guarantee::G4);
    assert_eq!(verdict.judged(Guarantee::G13), 100_000);
}

#[test]
fn what_no_fact_tests_is_not_said_to_hold() {
    let mut scene = Scene::new(Mode::ReliableOrdered);
    scene.whole(0, 1);
    let broken = scene.history.check(&Bounds::new()).require(&[Guarantee::G1, Guarantee::G14]).unwrap_err();
    assert_eq!((broken.violations.len(), broken.untested.clone()), (0, vec![Guarantee::G14]));
    assert_eq!(broken.to_string(), "G14 independence: nothing in the history tests it");
}

#[test]
fn both_ends_name_the_same_channel() {
    let mut history = History::new();
    let one = history.channel(ALICE, BOB, "chat", Mode::ReliableOrdered);
    assert_eq!(history.channel(ALICE, BOB, "chat", Mode::ReliableOrdered), one);
    // Whoever expects another mode sees messages that nobody sent.
    let other = history.channel(ALICE, BOB, "chat", Mode::Unreliable);
    history.sent(ms(0), one.message(0, 1), Sent::new("x"));
    history.receipt(ms(9), one.message(0, 1), Outcome::Unknown);
    history.handled(ms(5), other.message(0, 1), "x");
    let verdict = history.check(&Bounds::new());
    assert_eq!(verdict.violations()[0].guarantee, Guarantee::G2);
}

#[test]
fn many_violations_are_counted_rather_than_shown() {
    let mut scene = Scene::new(Mode::Unreliable);
    for sequence in 0..50 {
        scene.take(1, sequence);
    }
    let broken = scene.history.check(&Bounds::new()).require(&[]).unwrap_err();
    assert!(broken.to_string().ends_with("and 30 more"), "{broken}");
}
