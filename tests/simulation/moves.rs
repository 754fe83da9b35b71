//! Other networks, NATs that give another port every time, and rebindings in a bulk transfer: the cases of `tests/kernel_nat`, in
//! virtual time.

use std::time::Duration;

use bowline::{ChannelConfig, Delivery};
use bowline_netsim::{Access, Conditions, NatConfig, NatStep, Scenario, Step};
use bytes::Bytes;
use tokio::time::Instant;

use crate::survival::{EVENT, HEARTBEAT, config, flows, judge, over, path, push};
use crate::world::Ends;

/// The client has another network at once, with another address, and the one before is gone.
fn another_network() -> Scenario {
    let other = Access::new().nat(NatConfig::linux());
    path(0.0, Step::at(EVENT).move_after(Duration::ZERO, Duration::ZERO)).other(other)
}

#[test]
fn another_network_under_traffic_is_a_short_pause() {
    let longest = |seed| {
        let run = async |ends| flows(ends, 50, 50, Duration::from_secs(14)).await;
        let (up, down) = over(&another_network(), seed, run).output.expect("in time");
        up.max(down)
    };
    judge("move-50hz", (0..10).map(longest).collect(), 150);
}

#[test]
fn another_network_that_nobody_notices_is_found_by_the_next_beat() {
    let took = |seed| {
        let after = Duration::from_millis(150 * seed);
        over(&another_network(), seed, async |ends: Ends| push(ends, after, false).await)
            .output
            .expect("in time")
    };
    judge("move-idle", (0..40).map(took).collect(), HEARTBEAT.as_millis() as u64 + 1000);
}

#[test]
fn another_network_that_the_client_is_told_of_is_taken_at_once() {
    let took = |seed| {
        let after = Duration::from_millis(5 * seed);
        over(&another_network(), seed, async |ends: Ends| push(ends, after, true).await)
            .output
            .expect("in time")
    };
    judge("move-idle-hint", (0..20).map(took).collect(), 150);
}

#[test]
fn fifty_rebindings_in_a_minute_at_a_loss_of_a_twentieth() {
    let symmetric = NatConfig::linux().preserve_ports(false);
    let rebind =
        Step::at(Duration::from_secs(4)).nat(NatStep::RebindPorts).every(Duration::from_millis(1200));
    let lossy = Step::at(Duration::from_secs(3)).both(Conditions::new().loss(5.0));
    let scenario = Scenario::new("symmetric", Duration::from_secs(120)).nat(symmetric);
    let scenario = scenario.step(lossy).step(rebind);
    let longest = |seed| {
        let run = async |ends| flows(ends, 50, 50, Duration::from_secs(64)).await;
        let (up, down) = over(&scenario, seed, run).output.expect("in time");
        up.max(down)
    };
    judge("symmetric", (0..5).map(longest).collect(), 1000);
}

/// 10 Mbit/s for so long, from the client or to it. The longest time between two deliveries.
async fn bulk(ends: Ends, up: bool, lasting: Duration) -> Duration {
    let (client, server) = ends.session(config()).await;
    let (from, to) = if up { (client, server) } else { (server, client) };
    let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
    let (out, _) = from.open("bulk", ordered.clone()).await.unwrap();
    let (_keep, mut inbox) = to.open("bulk", ordered).await.unwrap();
    let count = 1250 * lasting.as_secs();
    let sending = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_micros(800));
        for _ in 0..count {
            ticks.tick().await;
            drop(out.send(Bytes::from_static(&[7; 1000])).await.unwrap());
        }
        out.finish();
    });
    let (mut last, mut longest, mut came) = (Instant::now(), Duration::ZERO, 0);
    while inbox.recv().await.is_some() {
        longest = longest.max(last.elapsed());
        (last, came) = (Instant::now(), came + 1);
    }
    sending.await.unwrap();
    assert_eq!(came, count);
    longest
}

#[test]
fn a_rebinding_in_a_bulk_transfer_is_a_short_pause_either_way() {
    for (name, up) in [("rebind-bulk-up", true), ("rebind-bulk-down", false)] {
        let scenario = path(0.0, Step::at(EVENT).nat(NatStep::RebindPorts));
        let run = |seed| over(&scenario, seed, async |ends| bulk(ends, up, Duration::from_secs(10)).await);
        // Quinn alone: 210 to 430 ms.
        judge(name, (0..5).map(|seed| run(seed).output.expect("in time")).collect(), 210);
    }
}
