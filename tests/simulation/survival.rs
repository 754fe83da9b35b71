//! Rebindings, silence and blackouts: how long until messages flow again (rules H1 to H4). A virtual network has no noise,
//! so the figures are asserted.

use std::time::Duration;

use bowline::{ChannelConfig, Config, Delivery, Event, ReconnectPolicy, Session};
use bowline_netsim::quic::Finished;
use bowline_netsim::{Conditions, NatConfig, NatStep, Scenario, Step};
use bytes::Bytes;
use tokio::time::Instant;

use crate::world::{Ends, over_beyond};

pub(crate) const EVENT: Duration = Duration::from_secs(6);
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

pub(crate) fn config() -> Config {
    Config::default().heartbeat(HEARTBEAT).reconnect(ReconnectPolicy::Responsive)
}

/// Runs a program over such a path: a NAT at the client, as a router at home is, and 40 ms of round trip between it and the server.
pub(crate) fn over<T>(scenario: &Scenario, seed: u64, program: impl AsyncFnOnce(Ends) -> T) -> Finished<T> {
    over_beyond(Duration::from_millis(20), scenario, seed, program)
}

/// A client behind a NAT, loss from 3 s on, and something that happens after 6 s.
pub(crate) fn path(loss: f64, step: Step) -> Scenario {
    let scenario = Scenario::new("survival", Duration::from_secs(120)).nat(NatConfig::linux());
    match loss > 0.0 {
        true => scenario.step(Step::at(Duration::from_secs(3)).both(Conditions::new().loss(loss))).step(step),
        false => scenario.step(step),
    }
}

/// Some time in the half second after the event's.
fn soon() -> Step {
    Step::between(EVENT, EVENT + Duration::from_millis(500))
}

fn rebind() -> Step {
    soon().nat(NatStep::RebindPorts)
}

fn blackout(seconds: u64) -> Step {
    soon().lasting(Duration::from_secs(seconds)).both(Conditions::new().block(true))
}

/// Shows what was measured with many seeds, and sees that it keeps its bound.
pub(crate) fn judge(what: &str, mut times: Vec<Duration>, at_most_ms: u64) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1].as_millis();
    println!("| {what} | {} | {} | {} | {} |", times.len(), at(50), at(99), at(100));
    assert!(at(100) <= u128::from(at_most_ms), "{what}: {times:?}");
}

/// Sends so many messages a second from one side for so long. The longest time between two first deliveries on the other
/// side, or from the last one to the end; every message comes once and in order.
pub(crate) async fn flow(
    from: Session,
    to: Session,
    label: &str,
    every: Duration,
    lasting: Duration,
) -> Duration {
    let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
    let (out, _) = from.open(label, ordered.clone()).await.unwrap();
    let (_keep, mut inbox) = to.open(label, ordered).await.unwrap();
    let count = (lasting.as_micros() / every.as_micros()) as u64;
    let sending = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        let mut receipts = Vec::new();
        for number in 0..count {
            ticks.tick().await;
            receipts.push(out.send(number.to_be_bytes().to_vec()).await.unwrap());
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
    });
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    for number in 0..count {
        let message = inbox.recv().await.unwrap();
        assert_eq!(message.payload()[..], number.to_be_bytes());
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    sending.await.unwrap();
    longest
}

/// Uploads as fast as it goes, 10 Mbit/s at most, with no more than 128 KiB unresolved, for so long. The longest time between two
/// deliveries.
async fn upload(ends: Ends, lasting: Duration) -> Duration {
    let (client, server) = ends.session(config()).await;
    let bulk = ChannelConfig::new(Delivery::ReliableOrdered).outbox(1024, 128 * 1024);
    let (out, _) = client.open("bulk", bulk.clone()).await.unwrap();
    let (_keep, mut inbox) = server.open("bulk", bulk).await.unwrap();
    let sending = tokio::spawn(async move {
        let (end, mut ticks) = (Instant::now() + lasting, tokio::time::interval(Duration::from_millis(8)));
        let (payload, mut sent) = (Bytes::from(vec![7; 1000]), 0_u64);
        while ticks.tick().await < end {
            for _ in 0..10 {
                drop(out.send(payload.clone()).await.unwrap());
                sent += 1;
            }
        }
        out.finish();
        sent
    });
    let (mut last, mut longest, mut came) = (Instant::now(), Duration::ZERO, 0);
    while inbox.recv().await.is_some() {
        longest = longest.max(last.elapsed());
        (last, came) = (Instant::now(), came + 1);
    }
    assert_eq!(sending.await.unwrap(), came);
    longest
}

/// The longest gaps of a flow up and one down, of so many messages a second, 0 for none.
pub(crate) async fn flows(ends: Ends, up_hz: u32, down_hz: u32, lasting: Duration) -> (Duration, Duration) {
    let (client, server) = ends.session(config()).await;
    let run = async |from: &Session, to: &Session, label: &str, hz: u32| match hz {
        0 => Duration::ZERO,
        hz => flow(from.clone(), to.clone(), label, Duration::from_secs(1) / hz, lasting).await,
    };
    tokio::join!(run(&client, &server, "up", up_hz), run(&server, &client, "down", down_hz))
}

fn gaps(scenario: &Scenario, seed: u64, up_hz: u32, down_hz: u32) -> (Duration, Duration) {
    let lasting = Duration::from_secs(14);
    over(scenario, seed, async |ends| flows(ends, up_hz, down_hz, lasting).await).output.expect("in time")
}

#[test]
fn a_rebinding_under_traffic_both_ways_is_a_short_pause() {
    let longest = |seed| {
        let (up, down) = gaps(&path(0.0, rebind()), seed, 100, 100);
        up.max(down)
    };
    judge("rebind-port", (0..10).map(longest).collect(), 150);
}

#[test]
fn a_rebinding_while_the_server_alone_speaks_is_noticed_by_its_silence() {
    judge("rebind-down", (0..10).map(|seed| gaps(&path(0.0, rebind()), seed, 0, 100).1).collect(), 1000);
}

#[test]
fn the_same_at_a_loss_of_a_fifth() {
    let all: Vec<_> = (0..40).map(|seed| gaps(&path(20.0, rebind()), seed, 0, 100).1).collect();
    let slow = all.iter().filter(|gap| **gap > Duration::from_secs(2)).count();
    judge("rebind-down-loss", all, 5000);
    assert!(slow <= 1, "{slow} of 40 took more than 2 s");
}

fn after_blackout(gap: (Duration, Duration), seconds: u64) -> Duration {
    gap.0.max(gap.1).saturating_sub(Duration::from_secs(seconds))
}

#[test]
fn after_five_seconds_of_nothing_messages_flow_at_once() {
    let after = |seed| after_blackout(gaps(&path(0.0, blackout(5)), seed, 20, 20), 5);
    judge("blackout-5s", (0..10).map(after).collect(), 300);
}

/// How long after a blackout of 5 s an upload goes on, at a loss in per cent, for each of so many seeds.
fn uploads_go_on(loss: f64, seeds: u64) -> Vec<Duration> {
    let scenario = path(loss, blackout(5));
    let run = |seed| over(&scenario, seed, async |ends| upload(ends, Duration::from_secs(10)).await);
    let gap = |seed| run(seed).output.expect("in time").saturating_sub(Duration::from_secs(5));
    (0..seeds).map(gap).collect()
}

#[test]
fn an_upload_goes_on_after_five_seconds_of_nothing() {
    judge("blackout-5s-bulk", uploads_go_on(0.0, 10), 1300);
}

#[test]
fn an_upload_goes_on_after_five_seconds_of_nothing_at_a_loss_of_a_twentieth() {
    judge("blackout-5s-bulk-loss", uploads_go_on(5.0, 60), 1000);
}

#[test]
fn after_a_minute_of_nothing_messages_flow_within_a_step_of_the_backoff() {
    let after = |seed| {
        let run = async |ends: Ends| flows(ends, 20, 20, Duration::from_secs(10)).await;
        after_blackout(over(&path(0.0, blackout(60)), seed, run).output.expect("in time"), 60)
    };
    judge("blackout-60s", (0..5).map(after).collect(), 1300);
}

#[test]
fn every_loss_of_a_link_that_lived_starts_from_the_first_wait() {
    let again = Step::at(3 * EVENT).lasting(Duration::from_secs(5)).both(Conditions::new().block(true));
    let run = async |ends: Ends| {
        let (client, _server) = ends.session(config()).await;
        let mut events = client.events();
        let mut first_attempts = Vec::new();
        let mut last = 0;
        let end = Instant::now() + Duration::from_secs(30);
        while let Ok(Some(event)) = tokio::time::timeout_at(end, events.next()).await {
            match event {
                Event::Reconnecting { attempt, .. } if last == 0 => {
                    first_attempts.push(attempt);
                    last = attempt;
                }
                Event::Resumed { .. } | Event::Recovered => last = 0,
                _ => {}
            }
        }
        first_attempts
    };
    let first_attempts = over(&path(0.0, blackout(5)).step(again), 1, run).output.expect("in time");
    assert_eq!(first_attempts, [1, 1]);
}

/// How long something takes to arrive that the server says so long after the event, when nothing was said before it for a while.
/// `hint` at the event tells the client that its network is another one.
pub(crate) async fn push(ends: Ends, after: Duration, hint: bool) -> Duration {
    let start = Instant::now();
    let (client, server) = ends.session(config()).await;
    let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
    let (out, _) = server.open("push", ordered.clone()).await.unwrap();
    let (_keep, mut inbox) = client.open("push", ordered).await.unwrap();
    drop(out.send("before").await.unwrap());
    inbox.recv().await.unwrap();
    tokio::time::sleep_until(start + EVENT).await;
    if hint {
        client.network_changed();
    }
    tokio::time::sleep(after).await;
    let sent = Instant::now();
    drop(out.send("after").await.unwrap());
    inbox.recv().await.unwrap();
    sent.elapsed()
}

#[test]
fn a_rebinding_that_nobody_notices_is_repaired_by_the_next_beat() {
    let took = |seed| {
        let scenario = path(0.0, Step::at(EVENT).nat(NatStep::RebindPorts));
        let after = Duration::from_millis(100 * seed);
        over(&scenario, seed, async |ends: Ends| push(ends, after, false).await).output.expect("in time")
    };
    judge("rebind-idle", (0..40).map(took).collect(), HEARTBEAT.as_millis() as u64 + 200);
}

#[test]
fn a_few_lines_into_a_blackout_are_enough_to_notice_it() {
    for seed in 0..10 {
        let took = over(&path(0.0, blackout(11)), seed, async |ends: Ends| {
            let start = Instant::now();
            let config = config().heartbeat(Duration::from_secs(60));
            let (client, server) = ends.session(config).await;
            let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
            let (out, _) = client.open("chat", ordered.clone()).await.unwrap();
            let (_keep, mut inbox) = server.open("chat", ordered).await.unwrap();
            // The next beat is due when all is over.
            tokio::time::sleep_until(start + EVENT - Duration::from_millis(500)).await;
            let hello = out.send("hello").await.unwrap();
            inbox.recv().await.unwrap();
            hello.await.unwrap();
            tokio::time::sleep_until(start + EVENT + Duration::from_millis(300 + 10 * seed)).await;
            for line in ["are", "you", "there?"] {
                drop(out.send(line).await.unwrap());
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            for _ in 0..3 {
                inbox.recv().await.unwrap();
            }
            start.elapsed().saturating_sub(EVENT + Duration::from_secs(11))
        });
        let took = took.output.expect("in time");
        assert!(took <= Duration::from_millis(1300), "seed {seed}: {took:?} after the blackout");
    }
}
