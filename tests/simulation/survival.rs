//! Rebindings, silence and blackouts: how long until messages flow again (rules H1 to H4). A virtual network has no noise,
//! so the figures are asserted.

use std::time::Duration;

use bowline::{ChannelConfig, Config, Delivery, ReconnectPolicy, Session};
use bowline_netsim::{Conditions, NatConfig, NatStep, Scenario, Step};
use tokio::time::Instant;

use crate::world::{Ends, over};

const EVENT: Duration = Duration::from_secs(6);
const HEARTBEAT: Duration = Duration::from_secs(5);

fn config() -> Config {
    Config::default().heartbeat(HEARTBEAT).reconnect(ReconnectPolicy::Responsive)
}

/// A client behind a NAT, 40 ms of round trip, loss from 3 s on, and something that happens after 6 s.
fn path(loss: f64, step: Step) -> Scenario {
    let line = Conditions::new().delay(Duration::from_millis(20));
    let scenario = Scenario::new("survival", Duration::from_secs(120)).both(line).nat(NatConfig::linux());
    match loss > 0.0 {
        true => scenario.step(Step::at(Duration::from_secs(3)).both(Conditions::new().loss(loss))).step(step),
        false => scenario.step(step),
    }
}

fn rebind() -> Step {
    Step::at(EVENT).nat(NatStep::RebindPorts)
}

fn blackout(seconds: u64) -> Step {
    Step::at(EVENT).lasting(Duration::from_secs(seconds)).both(Conditions::new().block(true))
}

/// Sends so many messages a second from one side for so long. The longest time between two first deliveries on the other
/// side, or from the last one to the end; every message comes once and in order.
async fn flow(from: Session, to: Session, label: &str, every: Duration, lasting: Duration) -> Duration {
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

/// The longest gaps of a flow up and one down, of so many messages a second, 0 for none.
async fn flows(ends: Ends, up_hz: u32, down_hz: u32, lasting: Duration) -> (Duration, Duration) {
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
    for seed in 0..10 {
        let (up, down) = gaps(&path(0.0, rebind()), seed, 100, 100);
        assert!(up.max(down) <= Duration::from_millis(150), "seed {seed}: {up:?} up, {down:?} down");
    }
}

#[test]
fn a_rebinding_while_the_server_alone_speaks_is_noticed_by_its_silence() {
    for seed in 0..10 {
        let (_, down) = gaps(&path(0.0, rebind()), seed, 0, 100);
        assert!(down <= Duration::from_secs(1), "seed {seed}: {down:?}");
    }
}

#[test]
fn the_same_at_a_loss_of_a_fifth() {
    let mut all: Vec<Duration> = (0..40).map(|seed| gaps(&path(20.0, rebind()), seed, 0, 100).1).collect();
    all.sort_unstable();
    println!("rebinding at 20 % loss, server alone: {all:?}");
    assert!(all[38] <= Duration::from_secs(2), "{all:?}");
    assert!(all[39] <= Duration::from_secs(5), "{all:?}");
}

#[test]
fn after_five_seconds_of_nothing_messages_flow_at_once() {
    for seed in 0..10 {
        let (up, down) = gaps(&path(0.0, blackout(5)), seed, 20, 20);
        let gap = up.max(down).saturating_sub(Duration::from_secs(5));
        assert!(gap <= Duration::from_millis(300), "seed {seed}: {gap:?} after the blackout");
    }
}

#[test]
fn after_a_minute_of_nothing_messages_flow_within_a_step_of_the_backoff() {
    for seed in 0..5 {
        let lasting = Duration::from_secs(10);
        let run = async |ends: Ends| flows(ends, 20, 20, lasting).await;
        let (up, down) = over(&path(0.0, blackout(60)), seed, run).output.expect("in time");
        let gap = up.max(down).saturating_sub(Duration::from_secs(60));
        assert!(gap <= Duration::from_millis(1300), "seed {seed}: {gap:?} after the blackout");
    }
}

#[test]
fn a_rebinding_that_nobody_notices_is_repaired_by_the_next_beat() {
    for seed in 0..10 {
        let scenario = path(0.0, rebind());
        let took = over(&scenario, seed, async |ends: Ends| {
            let start = Instant::now();
            let (client, server) = ends.session(config()).await;
            let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
            let (out, _) = server.open("push", ordered.clone()).await.unwrap();
            let (_keep, mut inbox) = client.open("push", ordered).await.unwrap();
            drop(out.send("before").await.unwrap());
            inbox.recv().await.unwrap();
            tokio::time::sleep_until(start + EVENT + Duration::from_millis(100 * seed)).await;
            let sent = Instant::now();
            drop(out.send("after").await.unwrap());
            inbox.recv().await.unwrap();
            sent.elapsed()
        });
        let took = took.output.expect("in time");
        assert!(took <= HEARTBEAT + Duration::from_millis(200), "seed {seed}: {took:?}");
    }
}
