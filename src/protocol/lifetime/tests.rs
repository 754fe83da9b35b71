//! Learners beside a NAT that forgets after a time of its own.

use proptest::prelude::*;

use super::*;

const NETWORK: NetworkId = NetworkId([1; 16]);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A learner, and the probes that it has begun, with the time when each ends.
struct Scene {
    learner: Learner,
    now: Instant,
    running: Vec<(Instant, Duration)>,
    begun: Vec<u64>,
    remembered: Option<Option<Lifetime>>,
}

impl Scene {
    fn new(power: Power) -> Self {
        Self::with(Learner::new(power, s(270)), None)
    }

    fn with(mut learner: Learner, remembered: Option<Lifetime>) -> Self {
        let now = Instant::now();
        learner.enter(NETWORK, remembered, now);
        Self { learner, now, running: Vec::new(), begun: Vec::new(), remembered: None }
    }

    fn drain(&mut self) {
        while let Some(want) = self.learner.poll(self.now, true) {
            match want {
                Want::Probe(network, silence) => {
                    assert_eq!(network, NETWORK);
                    self.running.push((self.now + silence + s(4), silence));
                    self.begun.push(silence.as_secs());
                }
                Want::Drop(from) => self.running.retain(|(_, silence)| *silence < from),
                Want::Remember(network, lifetime) => {
                    assert_eq!(network, NETWORK);
                    self.remembered = Some(lifetime);
                }
            }
        }
        assert_eq!(self.running.len(), self.learner.stats().probing);
    }

    /// Goes to the next moment at which something happens, at the latest to `end`. Probes find what `find` says.
    fn step(&mut self, end: Instant, find: &mut impl FnMut(Duration) -> Finding) -> bool {
        self.drain();
        let finished = self.running.iter().map(|(at, _)| *at).min();
        let Some(at) = finished.into_iter().chain(self.learner.deadline()).min().filter(|at| *at <= end)
        else {
            self.now = end;
            return false;
        };
        assert!(at > self.now || finished == Some(at), "it spins");
        self.now = self.now.max(at);
        while let Some(index) = self.running.iter().position(|(at, _)| *at <= self.now) {
            let (_, silence) = self.running.swap_remove(index);
            self.learner.handle_finding(silence, find(silence), self.now);
        }
        self.drain();
        true
    }

    /// Until it is stable or has given up. How long that took.
    fn learn(&mut self, mut find: impl FnMut(Duration) -> Finding) -> Duration {
        let begun = self.now;
        while !matches!(self.learner.phase, Phase::Stable { .. } | Phase::Fixed { .. }) {
            assert!(self.step(begun + s(86_400), &mut find), "it does not end: {:?}", self.learner);
        }
        self.now - begun
    }

    fn run(&mut self, length: Duration, mut find: impl FnMut(Duration) -> Finding) {
        let end = self.now + length;
        while self.step(end, &mut find) {}
    }

    fn interval_s(&self) -> u64 {
        self.learner.interval().as_secs()
    }

    fn state(&self) -> HeartbeatState {
        self.learner.stats().state
    }
}

/// A NAT that forgets after so long.
fn nat(lifetime: Duration) -> impl Fn(Duration) -> Finding {
    move |silence| if silence < lifetime { Finding::Alive } else { Finding::Dead }
}

fn learned(lifetime_s: u64, power: Power) -> (u64, Duration, Vec<u64>) {
    let mut scene = Scene::new(power);
    let took = scene.learn(nat(s(lifetime_s)));
    (scene.interval_s(), took, scene.begun)
}

#[test]
fn the_interval_fits_the_nat() {
    for (lifetime, mains, battery) in [
        (2, 2, 2),
        (5, 2, 2),
        (12, 5, 3),
        (30, 20, 15),
        (31, 20, 20),
        (60, 30, 30),
        (120, 60, 60),
        (300, 180, 180),
    ] {
        let (interval, took, begun) = learned(lifetime, Power::Mains);
        println!("{lifetime} s on mains: {interval} s, after {took:?} and probes of {begun:?}");
        assert_eq!(interval, mains, "a NAT of {lifetime} s, on mains");
        let (interval, took, begun) = learned(lifetime, Power::Battery);
        println!("{lifetime} s on battery: {interval} s, after {took:?} and probes of {begun:?}");
        assert_eq!(interval, battery, "a NAT of {lifetime} s, on battery");
    }
}

#[test]
fn nothing_is_probed_before_a_link_has_lived_for_a_while() {
    let mut scene = Scene::new(Power::Mains);
    assert_eq!((scene.state(), scene.interval_s()), (HeartbeatState::Boot, 10));
    scene.run(SETTLED - s(1), nat(s(100)));
    assert!(scene.begun.is_empty());
    scene.learner.enter(NETWORK, None, scene.now);
    scene.run(SETTLED - s(1), nat(s(100)));
    assert!(scene.begun.is_empty(), "another link begins anew");
    scene.run(s(2), nat(s(100)));
    assert_eq!((scene.state(), &scene.begun[..]), (HeartbeatState::Probe, &[30, 45, 60, 90][..]));
}

#[test]
fn on_battery_one_probe_runs_at_a_time_and_there_are_fewer() {
    let mut scene = Scene::new(Power::Battery);
    assert!(scene.learner.waits_for_traffic());
    scene.run(SETTLED, nat(s(70)));
    assert_eq!(scene.begun, [30]);
    scene.learn(nat(s(70)));
    assert_eq!(scene.begun, [30, 45, 60, 90, 90]);
    assert!(scene.begun.len() < learned(70, Power::Mains).2.len());
}

#[test]
fn nothing_beyond_the_longest_interval_wanted_is_probed() {
    for (longest_s, probes) in [(15, &[30][..]), (20, &[30]), (29, &[30, 45]), (45, &[30, 45, 60])] {
        for power in [Power::Battery, Power::Mains] {
            let mut scene = Scene::with(Learner::new(power, s(longest_s)), None);
            scene.learn(nat(s(3600)));
            assert_eq!(&scene.begun[..], probes, "{power:?}");
            assert_eq!(scene.learner.interval(), in_table(s(longest_s)));
        }
    }
    let mut scene = Scene::with(Learner::new(Power::Mains, s(15)), None);
    scene.learn(nat(s(18)));
    assert_eq!((scene.interval_s(), &scene.begun[..]), (10, &[30, 30, 20, 15, 12, 8, 20, 17][..]));
}

#[test]
fn one_success_proves_and_one_failure_does_not() {
    let mut scene = Scene::new(Power::Mains);
    let mut failed = false;
    scene.learn(|silence| match silence.as_secs() {
        60 if !std::mem::replace(&mut failed, true) => Finding::Dead,
        _ => Finding::Alive,
    });
    assert!(failed);
    assert_eq!((scene.interval_s(), scene.learner.known.forgotten), (180, None));
}

#[test]
fn a_failure_while_the_path_is_in_doubt_says_nothing() {
    let mut scene = Scene::new(Power::Battery);
    scene.run(SETTLED, nat(s(100)));
    for pause in [60, 120, 240] {
        scene.learner.disturb();
        scene.run(s(34), |_| Finding::Dead);
        assert!(scene.learner.strikes.is_empty() && scene.running.is_empty(), "{:?}", scene.learner);
        scene.run(s(pause), |_| Finding::Dead);
    }
    scene.learner.disturb();
    scene.learn(nat(s(100)));
    assert_eq!(scene.learner.known.survived, Some(s(90)), "the answer proves all the same");
}

#[test]
fn probes_that_come_to_nothing_end_in_a_fixed_interval_until_the_next_day() {
    for (finding, why) in [
        (Finding::Refused, HeartbeatReason::ProbesRefused),
        (Finding::Unclear, HeartbeatReason::ProbesUnclear),
    ] {
        let mut scene = Scene::new(Power::Battery);
        let took = scene.learn(|_| finding);
        let stats = scene.learner.stats();
        assert_eq!((stats.state, stats.why, scene.interval_s()), (HeartbeatState::Fixed, why, 15));
        assert_eq!(scene.begun.len(), 5);
        assert!(took > s(60 + 120 + 240 + 480), "{took:?}");
        assert_eq!(scene.remembered, None);
        scene.run(RETRY_AFTER + s(60), nat(s(100)));
        assert_eq!((scene.state(), scene.interval_s()), (HeartbeatState::Probe, 20));
    }
}

#[test]
fn what_was_learned_is_remembered_and_confirmed_by_one_probe() {
    let mut first = Scene::new(Power::Mains);
    first.learn(nat(s(130)));
    let known = Lifetime { survived: Some(s(120)), forgotten: Some(s(160)) };
    assert_eq!(first.remembered, Some(Some(known)));
    let mut again = Scene::with(Learner::new(Power::Mains, s(270)), Some(known));
    let stats = again.learner.stats();
    assert_eq!(
        (stats.state, stats.why, again.interval_s()),
        (HeartbeatState::Boot, HeartbeatReason::Remembered, 60)
    );
    again.learn(nat(s(130)));
    assert_eq!(
        (again.state(), again.interval_s(), &again.begun[..]),
        (HeartbeatState::Stable, 90, &[120][..])
    );
}

#[test]
fn what_is_remembered_and_not_true_is_found_out() {
    let known = Lifetime { survived: Some(s(240)), forgotten: None };
    let mut scene = Scene::with(Learner::new(Power::Mains, s(270)), Some(known));
    assert_eq!(scene.interval_s(), 120);
    scene.learn(nat(s(31)));
    assert_eq!((scene.state(), scene.interval_s()), (HeartbeatState::Stable, 20));
    let known = Lifetime { survived: Some(s(30)), forgotten: Some(s(34)) };
    assert_eq!(scene.remembered, Some(Some(known)));
}

#[test]
fn after_a_week_it_is_put_to_the_test() {
    let mut scene = Scene::new(Power::Mains);
    scene.learn(nat(s(100)));
    scene.begun.clear();
    scene.run(RECHECK_AFTER - s(60), nat(s(100)));
    assert_eq!((scene.state(), &scene.begun[..]), (HeartbeatState::Stable, &[][..]));
    scene.run(s(61), nat(s(100)));
    assert_eq!(
        (scene.state(), &scene.begun[..], scene.interval_s()),
        (HeartbeatState::Recheck, &[90][..], 60)
    );
    scene.learn(nat(s(1000)));
    assert_eq!((scene.state(), scene.interval_s()), (HeartbeatState::Stable, 180), "the NAT was exchanged");
    scene.run(RECHECK_AFTER + s(1), nat(s(40)));
    scene.learn(nat(s(40)));
    assert_eq!((scene.state(), scene.interval_s()), (HeartbeatState::Stable, 25), "and again");
}

#[test]
fn what_cannot_be_put_to_the_test_stays() {
    let mut scene = Scene::new(Power::Battery);
    scene.learn(nat(s(100)));
    scene.run(RECHECK_AFTER, nat(s(100)));
    scene.learn(|_| Finding::Refused);
    let stats = scene.learner.stats();
    let wanted = (HeartbeatState::Stable, HeartbeatReason::ProbesRefused, 60);
    assert_eq!((stats.state, stats.why, scene.interval_s()), wanted);
}

#[test]
fn two_lost_mappings_within_an_hour_are_believed_and_one_is_not() {
    let mut scene = Scene::new(Power::Mains);
    scene.learn(nat(s(100)));
    for _ in 0..3 {
        scene.learner.mapping_lost(scene.now);
        scene.run(LOSSES_WITHIN, nat(s(100)));
        assert_eq!((scene.state(), scene.interval_s()), (HeartbeatState::Stable, 60));
    }
    scene.learner.mapping_lost(scene.now);
    scene.run(LOSSES_WITHIN - s(1), nat(s(100)));
    scene.learner.mapping_lost(scene.now);
    scene.drain();
    let stats = scene.learner.stats();
    assert_eq!((stats.state, stats.why), (HeartbeatState::Probe, HeartbeatReason::MappingsLost));
    assert_eq!((scene.interval_s(), scene.remembered), (10, Some(None)));
    for longer in [5, 2, 2] {
        scene.learner.mapping_lost(scene.now);
        scene.learner.mapping_lost(scene.now);
        assert_eq!(scene.interval_s(), longer);
    }
    scene.learn(nat(s(10)));
    assert_eq!(scene.interval_s(), 5);
}

#[test]
fn what_another_session_finds_is_found_for_all() {
    let mut scene = Scene::new(Power::Mains);
    scene.run(SETTLED, nat(s(100)));
    for silence in [30, 45, 60, 90] {
        scene.learner.handle_found_elsewhere(s(silence), None, scene.now);
    }
    scene.running.clear();
    scene.run(ASK_AGAIN - s(1), nat(s(100)));
    assert_eq!((scene.begun.len(), scene.state()), (4, HeartbeatState::Probe));
    scene.run(s(1), nat(s(100)));
    assert_eq!(scene.begun.len(), 8, "it asks again");
    let found = Lifetime { survived: Some(s(90)), forgotten: Some(s(120)) };
    scene.learner.handle_found_elsewhere(s(30), Some(found), scene.now);
    scene.drain();
    let stats = scene.learner.stats();
    assert_eq!((stats.state, stats.why, stats.probes), (HeartbeatState::Stable, HeartbeatReason::Learned, 0));
    assert_eq!((scene.interval_s(), scene.running.len(), scene.remembered), (60, 0, None));
}

#[test]
fn another_network_ends_all_that_was_under_way() {
    let mut scene = Scene::new(Power::Mains);
    scene.run(SETTLED + s(40), nat(s(100)));
    assert_eq!((scene.interval_s(), scene.running.len()), (20, 4));
    scene.learner.leave();
    scene.drain();
    assert_eq!((scene.interval_s(), scene.running.len()), (10, 0));
    scene.learner.handle_finding(s(60), Finding::Alive, scene.now);
    assert_eq!(scene.learner.known, Lifetime::default(), "that was another network");
    scene.run(s(1000), nat(s(100)));
    assert_eq!(scene.state(), HeartbeatState::Boot, "there is no link in it yet");
}

#[test]
fn every_interval_of_the_table_is_allowed_by_the_silence_it_needs_and_by_none_shorter() {
    for wanted in INTERVALS_S.map(u64::from).into_iter().filter(|wanted| *wanted > 2) {
        let needed = needed(wanted);
        assert!(safe(needed) >= s(wanted) && safe(needed - s(1)) < s(wanted), "{wanted} s need {needed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the NAT, and however often probes fail for other reasons, the interval never exceeds what was proved.
    #[test]
    fn the_interval_in_force_is_always_proved_to_be_safe(
        lifetime_ms in 2500u64..400_000,
        battery in any::<bool>(),
        longest_s in 2u64..=270,
        remembered in proptest::option::of((3u64..400, proptest::option::of(400u64..500))),
        luck in proptest::collection::vec(0u8..20, 200),
        losses in proptest::collection::vec(any::<bool>(), 200),
    ) {
        let lifetime = Duration::from_millis(lifetime_ms);
        let power = if battery { Power::Battery } else { Power::Mains };
        let known = remembered.map(|(survived, forgotten)| {
            Lifetime { survived: Some(s(survived)), forgotten: forgotten.map(s) }
        });
        let mut scene = Scene::with(Learner::new(power, s(longest_s)), known);
        let mut luck = luck.into_iter().cycle();
        let end = scene.now + s(3 * 86_400);
        for lost in losses {
            let truth = nat(lifetime);
            let more = scene.step(end, &mut |silence| match luck.next() {
                Some(0) => Finding::Unclear,
                Some(1) => Finding::Refused,
                Some(2) => Finding::Dead,
                _ => truth(silence),
            });
            if lost && luck.next() == Some(3) {
                scene.learner.mapping_lost(scene.now);
            }
            let learner = &scene.learner;
            let interval = learner.interval();
            prop_assert!(interval <= s(longest_s));
            prop_assert!(interval >= FLOOR);
            if !learner.is_hearsay() {
                let survived = learner.known.survived;
                prop_assert!(survived.is_none_or(|survived| survived < lifetime), "{learner:?}");
                let safe = survived.map_or(FIXED, |survived| (survived * 3 / 4).max(FLOOR));
                prop_assert!(interval <= safe, "{interval:?}: {learner:?}");
            }
            if matches!(learner.phase, Phase::Stable { .. }) {
                // What nothing was found to survive is a guess below what is known to be too long.
                let limit = match learner.known.survived {
                    Some(_) => Some(lifetime),
                    None => learner.known.forgotten,
                };
                let below = limit.is_some_and(|limit| interval == FLOOR || interval < limit);
                prop_assert!(below, "{interval:?}: {learner:?}");
            }
            if !more {
                break;
            }
        }
        // However bad the luck was: without more of it, it comes to an end.
        scene.learn(nat(lifetime));
    }
}
