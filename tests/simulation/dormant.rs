//! A client that the server does not hear, or that goes to the background: what is in doubt then is bounded, and everything
//! arrives when it is there again (rule T6).

use std::time::Duration;

use bowline::session::Events;
use bowline::{
    Channel, ChannelConfig, Config, Delivery, Event, Inbox, ReconnectPolicy, Session, SessionState,
    Whereabouts,
};
use bowline_netsim::{Conditions, NatConfig, NatStep, Scenario, Step};
use tokio::time::{Instant, sleep, sleep_until};

use crate::world::{Ends, over};

const ROUND_TRIP: Duration = Duration::from_millis(40);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What the link takes at first: twice the initial congestion window, and what may wait to be written.
const WINDOW: u64 = (2 * 128 + 128) * 1024;
/// Over either limit goes one message at most.
const SLACK: u64 = 2 * 4000;

fn config() -> Config {
    Config::default().heartbeat(HEARTBEAT).reconnect(ReconnectPolicy::Responsive)
}

fn path(step: Step) -> Scenario {
    let line = Conditions::new().delay(ROUND_TRIP / 2);
    Scenario::new("dormant", Duration::from_secs(300)).both(line).nat(NatConfig::linux()).step(step)
}

fn blackout() -> Step {
    Step::at(Duration::from_secs(6)).lasting(Duration::from_secs(60)).both(Conditions::new().block(true))
}

/// The server's end of a channel, and the client's.
async fn push(client: &Session, server: &Session) -> (Channel, Inbox) {
    let ordered = ChannelConfig::new(Delivery::ReliableOrdered).outbox(10_000, 16 << 20);
    let (out, _) = server.open("push", ordered.clone()).await.unwrap();
    let (keep, mut inbox) = client.open("push", ordered).await.unwrap();
    drop(out.send("before").await.unwrap());
    inbox.recv().await.unwrap();
    // The client sends nothing, and does not finish either.
    tokio::spawn(async move {
        let _keep = keep;
        std::future::pending::<()>().await;
    });
    (out, inbox)
}

async fn next(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.next().await.expect("the session goes on");
        if wanted(&event) {
            return event;
        }
    }
}

fn bytes(out: &Channel, whereabouts: Whereabouts) -> u64 {
    let there = out.undelivered().into_iter().filter(|message| message.whereabouts == whereabouts);
    there.map(|message| message.size).sum()
}

#[test]
fn what_is_written_to_a_dead_link_is_bounded_and_everything_arrives_when_the_client_is_back() {
    const MESSAGES: u32 = 500;
    const SIZE: usize = 4000;
    for seed in 0..5 {
        let run = over(&path(blackout()), seed, async |ends: Ends| {
            let start = Instant::now();
            let (client, server) = ends.session(config()).await;
            let (out, mut inbox) = push(&client, &server).await;
            let mut events = server.events();
            sleep_until(start + Duration::from_secs(6) + ROUND_TRIP).await;
            // It knows nothing, and does nothing: it is the server that has to find out.
            client.going_to_background();
            for number in 0..MESSAGES {
                let mut payload = number.to_be_bytes().to_vec();
                payload.resize(SIZE, 7);
                drop(out.send(payload).await.unwrap());
            }
            next(&mut events, |event| matches!(event, Event::PeerOffline { .. })).await;
            let noticed = start.elapsed();
            let (doubtful, kept) = (bytes(&out, Whereabouts::InDoubt), bytes(&out, Whereabouts::Kept));
            sleep(Duration::from_secs(40)).await;
            assert_eq!(bytes(&out, Whereabouts::InDoubt), doubtful, "nothing more is written");
            assert_eq!(server.state(), SessionState::Detached);
            sleep_until(start + Duration::from_secs(70)).await;
            client.resumed();
            let resumed = Instant::now();
            let mut first = None;
            for number in 0..MESSAGES {
                let message = inbox.recv().await.unwrap();
                assert_eq!(message.payload()[..4], number.to_be_bytes(), "once each, and in order");
                first.get_or_insert(resumed.elapsed());
            }
            (noticed, doubtful, kept, first.unwrap(), resumed.elapsed())
        });
        let (noticed, doubtful, kept, first, all) = run.output.expect("in time");
        let total = u64::from(MESSAGES) * SIZE as u64;
        assert_eq!(doubtful + kept, total);
        assert!(doubtful <= WINDOW + SLACK, "seed {seed}: {doubtful} bytes in doubt");
        assert!(noticed < Duration::from_secs(6) + HEARTBEAT * 2, "seed {seed}: after {noticed:?}");
        assert!(first <= Duration::from_secs(1), "seed {seed}: the first after {first:?}");
        assert!(all <= Duration::from_secs(5), "seed {seed}: all after {all:?}");
    }
}

#[test]
fn what_waits_for_a_client_in_the_background_arrives_within_a_moment_of_its_return() {
    // Of a NAT that forgets after 30 s, and one that the client comes back through another port of.
    for (seed, asleep) in [(1, 20), (2, 100), (3, 250)] {
        let nothing = Step::at(Duration::from_secs(1)).nat(NatStep::RebindPorts);
        let took = over(&path(nothing), seed, async |ends: Ends| {
            let (client, server) = ends.session(config()).await;
            let (out, mut inbox) = push(&client, &server).await;
            let mut events = server.events();
            sleep(Duration::from_secs(2)).await;
            let asked = Instant::now();
            client.going_to_background();
            let offline = next(&mut events, |event| matches!(event, Event::PeerOffline { .. })).await;
            assert_eq!(offline, Event::PeerOffline { pending: 0 });
            assert!(asked.elapsed() <= ROUND_TRIP, "{:?}", asked.elapsed());
            drop(out.send("while away").await.unwrap());
            let (beats, sent) = (client.stats().beats_sent, server.stats().beats_sent);
            sleep(Duration::from_secs(asleep)).await;
            assert_eq!(bytes(&out, Whereabouts::InDoubt), 0, "it was held");
            assert_eq!((client.stats().beats_sent, server.stats().beats_sent), (beats, sent));
            let back = Instant::now();
            client.resumed();
            assert_eq!(inbox.recv().await.unwrap().payload(), &"while away");
            assert_eq!(client.stats().attaches, 1, "no other connection was needed");
            back.elapsed()
        });
        let took = took.output.expect("in time");
        assert!(took <= 5 * ROUND_TRIP, "away {asleep} s: {took:?}");
    }
}

#[test]
fn a_client_that_comes_from_another_port_is_seen_to_do_so_at_once() {
    for seed in 0..5 {
        let rebind = Step::at(Duration::from_secs(6)).nat(NatStep::RebindPorts);
        let run = over(&path(rebind), seed, async |ends: Ends| {
            let start = Instant::now();
            // No beat shows it before.
            let (client, server) = ends.session(config().heartbeat(Duration::from_secs(60))).await;
            let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
            let (out, _) = client.open("up", ordered.clone()).await.unwrap();
            let (_keep, _inbox) = server.open("up", ordered).await.unwrap();
            let mut events = server.events();
            sleep_until(start + Duration::from_secs(7)).await;
            assert_eq!(server.stats().path_changes, 0);
            let sent = Instant::now();
            drop(out.send("from elsewhere").await.unwrap());
            let changed = next(&mut events, |event| matches!(event, Event::PathChanged { .. })).await;
            (changed, sent.elapsed(), server.stats().path_changes)
        });
        let (changed, took, count) = run.output.expect("in time");
        let Event::PathChanged { former, remote } = changed else { panic!("{changed:?}") };
        assert_eq!(former.ip(), remote.ip());
        assert_ne!(former.port(), remote.port());
        assert!(took <= ROUND_TRIP, "seed {seed}: after {took:?}");
        assert_eq!(count, 1);
    }
}
