//! Hearts beside a path that answers, or does not.

use super::*;

const INTERVAL: Duration = Duration::from_secs(15);
const RTT: Duration = Duration::from_millis(40);

fn started() -> (Heart, Instant) {
    let now = Instant::now();
    (Heart::new(INTERVAL, now), now)
}

#[test]
fn the_first_beat_is_due_at_once_and_the_next_an_interval_after_the_answer() {
    let (mut heart, now) = started();
    assert_eq!(heart.poll(now, RTT, 1, 0), Some(Pulse::Beat { parity: true }));
    assert_eq!(heart.poll(now, RTT, 0, 0), None);
    assert!(!heart.answered(true, now + RTT));
    assert_eq!(heart.deadline(), Some(now + RTT + INTERVAL));
    assert_eq!(heart.poll(now + RTT + INTERVAL, RTT, 2, 0), Some(Pulse::Beat { parity: false }));
}

#[test]
fn what_was_acknowledged_before_a_doubt_does_not_end_it() {
    let (mut heart, now) = started();
    let at = |ms| now + Duration::from_millis(ms);
    heart.poll(now, RTT, 0, 0);
    heart.sample(10, now);
    assert!(heart.doubt(false, at(100)));
    heart.sample(15, at(100));
    let probe = Pulse::Probe { parity: false, first: false, rebind: false };
    assert_eq!(heart.poll(at(100), RTT, 0, 0), Some(probe));
    heart.sample(16, at(200));
    heart.evidence(at(200));
    assert!(heart.is_suspect(), "who knows how long these were under way");
    assert!(heart.answered(true, at(201)) && !heart.is_suspect());
}

#[test]
fn silence_is_probed_then_met_with_a_new_socket_and_then_dead() {
    let (mut heart, now) = started();
    let (mut pulses, mut left) = (Vec::new(), 0);
    while let Some(at) = heart.deadline() {
        left += 1;
        pulses.extend(heart.poll(at, RTT, left, 0).map(|pulse| ((at - now).as_millis(), pulse)));
        assert_eq!(heart.is_suspect(), pulses.len() > 1);
    }
    let probe = |parity, first, rebind| Pulse::Probe { parity, first, rebind };
    let wanted = [
        (0, Pulse::Beat { parity: true }),
        (250, probe(false, true, false)),
        (370, probe(true, false, false)),
        (490, probe(false, false, false)),
        (610, probe(true, false, false)),
        (730, probe(false, false, true)),
        (850, Pulse::Dead),
    ];
    assert_eq!(pulses, wanted);
}

#[test]
fn a_round_trip_of_seconds_does_not_keep_a_dead_path_for_half_a_minute() {
    let (mut heart, now) = started();
    let (mut at, mut left) = (now, 0);
    let slow = Duration::from_millis(2_500);
    while let Some(deadline) = heart.deadline() {
        (at, left) = (deadline, left + 1);
        heart.poll(at, slow, left, 0);
    }
    assert_eq!(at - now, ANSWER_MAX + 5 * PROBE_MAX, "an answer that takes as long as that comes in time");
}

#[test]
fn probes_that_do_not_leave_are_not_waited_for() {
    let (mut heart, now) = started();
    heart.poll(now, RTT, 7, 0);
    let mut pulses = Vec::new();
    while let Some(at) = heart.deadline() {
        pulses.extend(heart.poll(at, RTT, 7, 0));
    }
    assert_eq!(pulses, [Pulse::Probe { parity: false, first: true, rebind: false }, Pulse::Dead]);
}

#[test]
fn a_poke_brings_the_next_beat_forward_and_no_second_one() {
    let (mut heart, now) = started();
    heart.poll(now, RTT, 0, 0);
    heart.evidence(now + RTT);
    let later = now + Duration::from_secs(1);
    heart.poke(later);
    assert_eq!(heart.poll(later, RTT, 1, 0), Some(Pulse::Beat { parity: false }));
    heart.poke(later);
    assert_eq!(heart.poll(later, RTT, 1, 0), None);
}

#[test]
fn acknowledged_traffic_replaces_beats() {
    let (mut heart, now) = started();
    heart.poll(now, RTT, 0, 0);
    heart.evidence(now);
    for second in 1..=60 {
        let at = now + Duration::from_secs(second);
        heart.sample(second, at);
        assert_eq!(heart.poll(at, RTT, 0, 0), None, "at {second} s");
    }
    assert!(heart.poll(now + Duration::from_secs(60) + INTERVAL, RTT, 0, 0).is_some());
}

#[test]
fn the_first_beat_is_sent_even_if_something_else_has_arrived_before() {
    let (mut heart, now) = started();
    heart.evidence(now);
    heart.sample(1, now);
    heart.sample(2, now);
    assert!(heart.poll(now, RTT, 0, 0).is_some());
    heart.evidence(now + RTT);
    assert_eq!(heart.deadline(), Some(now + RTT + INTERVAL));
}

#[test]
fn a_counter_that_stands_still_is_no_evidence() {
    let (mut heart, now) = started();
    heart.poll(now, RTT, 0, 0);
    heart.evidence(now);
    for second in 0..15 {
        heart.sample(7, now + Duration::from_secs(second));
    }
    assert_eq!(heart.deadline(), Some(now + INTERVAL));
}

#[test]
fn an_answer_ends_a_suspicion_and_says_so() {
    let (mut heart, _) = started();
    for left in 0..2 {
        heart.poll(heart.deadline().unwrap(), RTT, left, 0);
    }
    let now = heart.deadline().unwrap();
    assert!(heart.answered(true, now));
    assert!(!heart.is_suspect());
    assert!(!heart.answered(true, now));
}

#[test]
fn an_acknowledgement_has_a_dead_path_asked_again() {
    let (mut heart, _) = started();
    let mut left = 0;
    while let Some(at) = heart.deadline() {
        left += 1;
        heart.poll(at, RTT, left, 0);
    }
    let now = Instant::now() + INTERVAL;
    heart.evidence(now);
    let Some(Pulse::Probe { first: false, rebind: false, .. }) = heart.poll(now, RTT, left + 1, 0) else {
        panic!("nobody asks");
    };
    assert!(heart.is_suspect());
    // One that comes while it is asked does not have it asked faster.
    heart.sample(1, now);
    heart.sample(2, now);
    assert_eq!(heart.poll(now, RTT, left + 2, 0), None);
    assert!(heart.answered(true, now + RTT));
}

#[test]
fn a_path_in_doubt_is_suspect_and_probed_at_once() {
    for rebind in [false, true] {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0, 0);
        heart.evidence(now);
        assert!(heart.doubt(rebind, now) && heart.is_suspect());
        assert!(!heart.doubt(rebind, now), "it is suspect already");
        let probe = Pulse::Probe { parity: false, first: false, rebind };
        assert_eq!(heart.poll(now, RTT, 0, 0), Some(probe));
        assert!(heart.answered(true, now + RTT));
    }
}

#[test]
fn jitter_only_shortens_and_by_a_tenth_at_most_once_dialers_are_spread() {
    let (mut heart, _) = started();
    for tenths in [5, 5, 5, 5, 9, 9] {
        let now = heart.deadline().unwrap();
        heart.poll(now, RTT, 0, 255);
        heart.evidence(now);
        assert_eq!(heart.deadline(), Some(now + INTERVAL * tenths / 10));
    }
}

#[test]
fn a_longer_interval_holds_when_the_peer_has_been_told() {
    let (mut heart, now) = started();
    let at = |s| now + Duration::from_secs(s);
    heart.poll(now, RTT, 0, 0);
    // The beat under way promises the old one, so its answer is no news of the new one.
    heart.set_interval(2 * INTERVAL, now);
    heart.answered(true, now);
    assert_eq!((heart.interval(), heart.promise(), heart.deadline()), (INTERVAL, 2 * INTERVAL, Some(now)));
    assert_eq!(heart.poll(now, RTT, 1, 0), Some(Pulse::Beat { parity: false }));
    // Other evidence says nothing of the beat, and the next one tells it again.
    heart.evidence(at(1));
    assert_eq!((heart.interval(), heart.deadline()), (INTERVAL, Some(at(1) + INTERVAL)));
    heart.answered(true, at(2));
    assert_eq!(heart.interval(), INTERVAL, "an answer to an older beat");
    heart.answered(false, at(3));
    assert_eq!((heart.interval(), heart.deadline()), (2 * INTERVAL, Some(at(3) + 2 * INTERVAL)));
}

#[test]
fn a_beat_after_a_rest_is_told_from_traffic() {
    let (mut heart, now) = started();
    heart.poll(now, RTT, 0, 0);
    heart.answered(true, now);
    for second in 1..=60 {
        let at = now + Duration::from_secs(second);
        heart.evidence(at);
        assert!(!heart.has_rested(at), "at {second} s");
    }
    let later = now + Duration::from_secs(60) + INTERVAL / 2;
    assert!(!heart.has_rested(later - RTT) && heart.has_rested(later), "nothing has come back for long");
    heart.evidence(later);
    heart.evidence(later + RTT);
    assert!(heart.has_rested(later + RTT), "that was the beat");
    assert!(!heart.has_rested(later + NEWS_WITHIN + RTT));
}

#[test]
fn a_shorter_interval_holds_at_once() {
    let (mut heart, now) = started();
    let later = now + INTERVAL / 3;
    heart.poll(now, RTT, 0, 0);
    heart.answered(true, now);
    heart.set_interval(INTERVAL, later);
    assert_eq!(heart.deadline(), Some(now + INTERVAL), "it is the same");
    heart.set_interval(INTERVAL / 2, later);
    assert_eq!((heart.interval(), heart.promise()), (INTERVAL / 2, INTERVAL / 2));
    assert_eq!(heart.poll(later, RTT, 1, 0), Some(Pulse::Beat { parity: false }));
    heart.evidence(later);
    assert_eq!(heart.deadline(), Some(later + INTERVAL / 2));
    // A wish that was taken back before the peer heard of it.
    heart.set_interval(INTERVAL, later);
    heart.set_interval(INTERVAL / 2, later);
    assert_eq!(heart.promise(), INTERVAL / 2);
}

#[test]
fn what_nobody_acknowledges_is_asked_about() {
    let (mut heart, now) = started();
    heart.poll(now, RTT, 0, 0);
    heart.answered(true, now);
    let at = |ms| now + Duration::from_millis(ms);
    heart.ask(RTT, at(1000));
    heart.evidence(at(1100));
    assert_eq!(heart.poll(at(5000), RTT, 1, 0), None, "that was acknowledged");
    heart.sample(7, at(5000));
    heart.ask(RTT, at(6000));
    heart.ask(RTT, at(6200));
    // It came after the last sample, but perhaps before the message was written.
    heart.sample(8, at(6250));
    assert_eq!(heart.deadline(), Some(at(6000) + ACK_DELAY + ANSWER_MIN));
    assert!(heart.poll(at(7000), RTT, 1, 0).is_some());
    assert!(!heart.is_suspect(), "only its answer can be missed");
    assert!(matches!(heart.poll(at(7250), RTT, 2, 0), Some(Pulse::Probe { first: true, .. })));
}
