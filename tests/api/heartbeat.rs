//! The heartbeat as the network sees it.

use std::time::Duration;

use crate::relay::{Packet, Relay, Way};
use crate::support::{dialer, line, listen, meet_at, nimble, text, within};

#[tokio::test]
async fn an_idle_connection_costs_a_few_dozen_bytes_a_beat() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    // The first exchanges are over: path validation, MTU discovery, the first beat.
    within("silence", relay.until_quiet_for(Duration::from_millis(500))).await;
    let (before, answered) = (dialed.stats().beats_sent, dialed.stats().beats_received);
    relay.record();
    let seen = relay.counts().seen;
    for _ in 0..2 {
        let already = relay.counts().seen;
        within("a beat", relay.until(|counts| counts.seen > already)).await;
        within("silence", relay.until_quiet_for(Duration::from_millis(500))).await;
    }
    let packets = relay.recorded();
    let beats = (dialed.stats().beats_sent - before) as usize;
    let lengths = |way| -> Vec<usize> {
        packets.iter().filter(|packet: &&Packet| packet.way == way).map(|packet| packet.bytes).collect()
    };
    let (out, back) = (lengths(Way::ToAcceptor), lengths(Way::ToDialer));
    println!("{beats} beats, UDP payloads of {out:?} bytes out and {back:?} bytes back");
    assert!(beats >= 2);
    assert_eq!(dialed.stats().beats_received - answered, beats as u64, "every beat is answered");
    assert_eq!(accepted.stats().beats_received, dialed.stats().beats_sent);
    assert_eq!(packets.len(), relay.counts().seen - seen);
    for bytes in out.iter().chain(&back) {
        assert!((20..64).contains(bytes), "a packet of {bytes} bytes on an idle connection");
    }
    // A beat, its answer, and QUIC's acknowledgements that did not travel along.
    assert!(out.len() <= 3 * beats && back.len() <= 3 * beats, "{out:?} {back:?}");
}

#[tokio::test]
async fn acknowledged_traffic_takes_the_place_of_beats() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let mut line = line(&dialed, &accepted, "busy").await;
    let mut longest = Duration::ZERO;
    let mut last = tokio::time::Instant::now();
    for turn in 0..50 {
        let receipt = line.out.send(turn.to_string()).await.unwrap();
        assert_eq!(text(&mut line.peer).await, turn.to_string());
        within("handled", receipt).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = tokio::time::Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    if longest > Duration::from_millis(1500) {
        println!("skipped: this machine stood still for {longest:?}, so that a beat may have been due");
        return;
    }
    assert_eq!(dialed.stats().beats_sent, 1, "in five seconds only the first, which tells the interval");
}
