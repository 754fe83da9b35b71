//! The adaptive heartbeat (rule H6): what is learned of NATs, what that costs, and that the path which carries the session
//! is not put at risk. A virtual network has no noise, so the figures are asserted.

use std::time::Duration;

use bowline::stats::{HeartbeatReason, HeartbeatState, HeartbeatStats};
use bowline::{Channel, ChannelConfig, Config, Delivery, HeartbeatPolicy, Inbox, Power, Session};
use bowline_netsim::{Conditions, Dependence, NatConfig, NatStep, Refresh, Scenario, Step, Time};
use tokio::time::Instant;

use crate::world::{Ends, over};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// 40 ms of round trip, and a NAT that forgets after so long, refreshed from inside only; another port every time.
fn nat(lifetime: Duration) -> Scenario {
    let line = Conditions::new().delay(Duration::from_millis(20));
    let nat = NatConfig::new()
        .filtering(Dependence::AddressAndPortDependent)
        .timeout(lifetime)
        .refresh(Refresh::Outbound)
        .preserve_ports(false);
    Scenario::new("learning", 6 * HOUR).both(line).nat(nat)
}

fn adaptive(power: Power) -> Config {
    Config::default().heartbeat(HeartbeatPolicy::adaptive(power))
}

/// What a server sends to a client.
struct Push {
    client: Session,
    server: Session,
    out: Channel,
    inbox: Inbox,
}

impl Push {
    async fn new(ends: &Ends, config: Config) -> Self {
        let (client, server) = ends.session(config).await;
        let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
        let (out, _) = server.open("push", ordered.clone()).await.unwrap();
        let (_, inbox) = client.open("push", ordered).await.unwrap();
        Self { client, server, out, inbox }
    }

    /// How long a message takes that is sent now.
    async fn one(&mut self) -> Duration {
        let sent = Instant::now();
        let receipt = self.out.send(b"news".as_slice()).await.unwrap();
        self.inbox.recv().await.expect("the session goes on");
        let took = sent.elapsed();
        receipt.await.expect("it is handled");
        took
    }

    fn heartbeat(&self) -> HeartbeatStats {
        self.client.stats().heartbeat
    }

    /// Sends now and then until something is learned; how long the slowest message took.
    async fn until_learned(&mut self) -> Duration {
        let mut slowest = Duration::ZERO;
        let mut next = Instant::now();
        while !matches!(self.heartbeat().state, HeartbeatState::Stable | HeartbeatState::Fixed) {
            if Instant::now() >= next {
                next += Duration::from_secs(47);
                slowest = slowest.max(self.one().await);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Until the peer has been told.
        tokio::time::sleep(Duration::from_secs(1)).await;
        slowest
    }

    /// Sends after each of so many idle minutes; how long the slowest message took.
    async fn minutes(&mut self, count: usize) -> Duration {
        let mut slowest = Duration::ZERO;
        for _ in 0..count {
            tokio::time::sleep(MINUTE).await;
            slowest = slowest.max(self.one().await);
        }
        slowest
    }
}

#[derive(Debug)]
struct Run {
    learned: HeartbeatStats,
    /// When that was known.
    at: Time,
    slowest_while_learning: Duration,
    slowest_afterwards: Duration,
    mappings_lost: u64,
    suspicions: u64,
    /// Beginning and end of an hour in which nobody speaks, and the beats in it.
    idle: (Time, Time),
    beats: u64,
}

async fn learn(ends: Ends, power: Power) -> Run {
    let mut push = Push::new(&ends, adaptive(power)).await;
    let slowest_while_learning = push.until_learned().await;
    let (learned, at) = (push.heartbeat(), ends.sim.now());
    let slowest_afterwards = push.minutes(10).await;
    let (from, before) = (ends.sim.now(), push.client.stats().beats_sent);
    tokio::time::sleep(HOUR).await;
    let (idle, beats) = ((from, ends.sim.now()), push.client.stats().beats_sent - before);
    let stats = push.client.stats();
    assert_eq!(push.server.stats().attaches, 1, "the link was never lost");
    Run {
        learned,
        at,
        slowest_while_learning,
        slowest_afterwards,
        mappings_lost: stats.heartbeat.mappings_lost,
        suspicions: stats.attaches - 1,
        idle,
        beats,
    }
}

/// Packets and their UDP payload in bytes, both ways together, that left between two times.
fn cost(trace: &bowline_netsim::Trace, (from, to): (Time, Time)) -> (usize, usize) {
    let mut last = 0;
    let (mut packets, mut bytes) = (0, 0);
    for event in trace.events() {
        if event.packet > last && (from..to).contains(&event.at) {
            packets += 1;
            bytes += event.length;
        }
        last = last.max(event.packet);
    }
    (packets, bytes)
}

fn run(lifetime_s: u64, power: Power) -> Run {
    let lifetime = Duration::from_secs(lifetime_s);
    let finished = over(&nat(lifetime), lifetime_s, async |ends| learn(ends, power).await);
    let run = finished.output.expect("in time");
    let (learning, idle) =
        (cost(finished.world.trace(), (Time::ZERO, run.at)), cost(finished.world.trace(), run.idle));
    println!(
        "{lifetime_s} s NAT, {power:?}: {:?} after {} and {} probes ({} packets, {} bytes in all until then); \
         an idle hour: {} beats, {} packets, {} bytes; slowest push {:?} while learning, {:?} afterwards; mappings lost: {}",
        run.learned.interval,
        run.at,
        run.learned.probes,
        learning.0,
        learning.1,
        run.beats,
        idle.0,
        idle.1,
        run.slowest_while_learning,
        run.slowest_afterwards,
        run.mappings_lost,
    );
    run
}

#[test]
fn on_mains_the_interval_fits_the_nat_and_the_live_path_is_never_at_risk() {
    for (lifetime_s, interval_s) in [(5, 2), (12, 5), (30, 20), (60, 30), (120, 60), (300, 180)] {
        let run = run(lifetime_s, Power::Mains);
        let (state, why) = (run.learned.state, run.learned.why);
        assert_eq!((state, why), (HeartbeatState::Stable, HeartbeatReason::Learned));
        assert_eq!(run.learned.interval, Duration::from_secs(interval_s), "{lifetime_s} s");
        assert!(run.slowest_afterwards <= Duration::from_millis(200), "{lifetime_s} s: {run:?}");
        assert_eq!(run.suspicions, 0);
        if lifetime_s >= 12 {
            assert_eq!(run.mappings_lost, 0, "{lifetime_s} s: {run:?}");
            assert!(run.slowest_while_learning <= Duration::from_millis(200), "{lifetime_s} s: {run:?}");
        }
    }
}

#[test]
fn on_battery_there_are_fewer_probes_and_each_begins_beside_a_beat() {
    for (lifetime_s, interval_s) in [(30, 15), (120, 60), (300, 180)] {
        let run = run(lifetime_s, Power::Battery);
        assert_eq!(run.learned.state, HeartbeatState::Stable);
        assert_eq!(run.learned.interval, Duration::from_secs(interval_s), "{lifetime_s} s");
        assert!(run.slowest_afterwards <= Duration::from_millis(200), "{lifetime_s} s: {run:?}");
        assert_eq!(run.mappings_lost, 0);
    }
}

#[test]
fn loss_costs_time_and_proves_nothing_wrong() {
    for seed in 0..5 {
        let line = Conditions::new().loss(10.0);
        let scenario = nat(MINUTE).step(Step::at(Duration::from_secs(3)).both(line));
        let learned = over(&scenario, seed, async |ends| {
            let mut push = Push::new(&ends, adaptive(Power::Mains)).await;
            push.until_learned().await;
            (push.heartbeat(), ends.sim.now())
        });
        let (learned, at) = learned.output.expect("in time");
        println!("at 10 % loss, seed {seed}: {learned:?} at {at}");
        assert_eq!(learned.state, HeartbeatState::Stable);
        assert!(learned.survived.is_some_and(|survived| survived < MINUTE), "{learned:?}");
        assert!(learned.interval >= Duration::from_secs(20), "{learned:?}");
    }
}

#[test]
fn a_blackout_while_probes_are_silent_is_not_taken_for_a_nat_that_forgets() {
    // From 55 s to 75 s: the probes of 30 and 45 s, begun at about 30 s, are to be answered then.
    let step = Step::at(Duration::from_secs(55))
        .lasting(Duration::from_secs(20))
        .both(Conditions::new().block(true));
    let learned = over(&nat(5 * MINUTE).step(step), 1, async |ends| {
        let config = adaptive(Power::Mains).reconnect(bowline::ReconnectPolicy::Responsive);
        let mut push = Push::new(&ends, config).await;
        push.until_learned().await;
        push.heartbeat()
    });
    let learned = learned.output.expect("in time");
    assert_eq!(
        (learned.state, learned.interval),
        (HeartbeatState::Stable, Duration::from_secs(180)),
        "{learned:?}"
    );
}

#[test]
fn an_acceptor_that_serves_no_probes_leaves_the_interval_at_15_s() {
    let refused = over(&nat(5 * MINUTE), 1, async |ends| {
        let mut push = Push::new(&ends, adaptive(Power::Mains).max_probes(0)).await;
        push.until_learned().await;
        tokio::time::sleep(MINUTE).await;
        (push.heartbeat(), push.one().await)
    });
    let (learned, took) = refused.output.expect("in time");
    assert_eq!((learned.state, learned.why), (HeartbeatState::Fixed, HeartbeatReason::ProbesRefused));
    assert_eq!((learned.interval, learned.survived), (Duration::from_secs(15), None));
    assert!(took <= Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_nat_that_becomes_worse_is_noticed_by_the_mappings_it_loses() {
    // Its ports change for other reasons than time, twice within an hour.
    let from = Duration::from_secs(1800);
    let step = |at| Step::at(at).nat(NatStep::RebindPorts);
    let scenario = nat(5 * MINUTE).step(step(from)).step(step(from + 10 * MINUTE));
    let run = over(&scenario, 1, async |ends| {
        let mut push = Push::new(&ends, adaptive(Power::Mains)).await;
        push.until_learned().await;
        let learned = push.heartbeat();
        let mut after = learned;
        while after.why == HeartbeatReason::Learned && ends.sim.now().since_start() < 2 * from {
            tokio::time::sleep(Duration::from_secs(1)).await;
            after = push.heartbeat();
        }
        push.until_learned().await;
        (learned, after, push.heartbeat())
    });
    let (learned, after, again) = run.output.expect("in time");
    assert_eq!(learned.interval, Duration::from_secs(180));
    assert_eq!((after.why, after.state), (HeartbeatReason::MappingsLost, HeartbeatState::Probe));
    assert_eq!((after.mappings_lost, after.interval), (2, Duration::from_secs(10)));
    assert_eq!((again.state, again.interval), (HeartbeatState::Stable, Duration::from_secs(180)));
}

#[test]
fn another_network_is_learned_anew_and_a_known_one_is_confirmed_by_one_probe() {
    let run = over(&nat(MINUTE), 1, async |ends| {
        let mut push = Push::new(&ends, adaptive(Power::Mains)).await;
        push.until_learned().await;
        let learned = push.heartbeat();
        push.client.network_changed();
        let left = push.heartbeat();
        // The address of the simulated host is not known, so this is the same network again.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let back = push.heartbeat();
        push.until_learned().await;
        (learned, left, back, push.heartbeat())
    });
    let (learned, left, back, again) = run.output.expect("in time");
    assert_eq!((left.state, left.why), (HeartbeatState::Boot, HeartbeatReason::NewNetwork));
    assert_eq!(
        (back.state, back.why, back.survived),
        (HeartbeatState::Boot, HeartbeatReason::Remembered, learned.survived)
    );
    assert_eq!((again.state, again.interval), (HeartbeatState::Stable, learned.interval));
    assert_eq!(again.probes, learned.probes + 1, "{again:?}");
}

#[test]
fn a_file_remembers_what_was_learned_for_the_next_process() {
    let file = std::env::temp_dir().join(format!("bowline-learning-{}", std::process::id()));
    let config = || adaptive(Power::Mains).network_memory(&file);
    let learn = async |ends: Ends| {
        let mut push = Push::new(&ends, config()).await;
        let before = push.heartbeat();
        push.until_learned().await;
        (before, push.heartbeat())
    };
    let (before, learned) = over(&nat(MINUTE), 1, learn).output.expect("in time");
    assert_eq!((before.why, learned.survived), (HeartbeatReason::NewNetwork, Some(Duration::from_secs(45))));
    // It is written in the background, in real time.
    let is_written = || std::fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 2);
    for _ in 0..10_000 {
        if is_written() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let (before, again) = over(&nat(MINUTE), 2, learn).output.expect("in time");
    std::fs::remove_file(&file).expect("it is there");
    assert_eq!((before.state, before.why), (HeartbeatState::Boot, HeartbeatReason::Remembered));
    assert_eq!((again.state, again.interval, again.probes), (HeartbeatState::Stable, learned.interval, 1));
}

#[test]
fn of_many_sessions_in_a_network_one_makes_the_probes() {
    let run = over(&nat(MINUTE), 1, async |ends| {
        let sessions = ends.sessions(adaptive(Power::Mains), 20).await;
        tokio::time::sleep(5 * MINUTE).await;
        sessions.iter().map(|(client, _)| client.stats().heartbeat).collect::<Vec<_>>()
    });
    let all = run.output.expect("in time");
    let probes: Vec<u64> =
        all.iter().map(|heartbeat| heartbeat.probes).filter(|probes| *probes > 0).collect();
    assert_eq!(probes, [5], "{all:?}");
    for heartbeat in all {
        let state = (heartbeat.state, heartbeat.why, heartbeat.interval);
        assert_eq!(state, (HeartbeatState::Stable, HeartbeatReason::Learned, Duration::from_secs(30)));
    }
}
