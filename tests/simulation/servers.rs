//! Servers that are killed and come back, that are stopped, and whose application takes nothing: the cases of
//! `tests/kernel_nat`, in virtual time.

use std::time::Duration;

use bowline::{ChannelConfig, Delivery, Event, Health, Session};
use bowline_netsim::{NatConfig, Scenario};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::plan::{ms, secs};
use crate::process::Process;
use crate::survival::{HEARTBEAT, config, judge, over};
use crate::world::{Ends, Who};

/// When it happens, and how long servers are stopped or take nothing.
const AT: Duration = secs(3);
const PAUSE: Duration = secs(20);

fn path() -> Scenario {
    Scenario::new("servers", secs(120)).nat(NatConfig::linux())
}

fn ordered() -> ChannelConfig {
    ChannelConfig::new(Delivery::ReliableOrdered)
}

/// Says a number now and then until a moment, and waits until all are resolved.
async fn say(session: Session, label: &'static str, every: Duration, until: Instant) {
    let (out, _) = session.open(label, ordered()).await.expect("the session lives");
    let (mut ticks, mut receipts) = (tokio::time::interval(every), Vec::new());
    while ticks.tick().await < until {
        let number = receipts.len() as u64;
        receipts.push(out.send(number.to_be_bytes().to_vec()).await.expect("there is room"));
    }
    out.finish();
    for receipt in receipts {
        receipt.outcome().await;
    }
}

/// Takes all that is said, which comes once and in order. The longest time between two messages. `pause`: takes nothing from that
/// moment on for so long.
async fn hear(session: Session, label: &'static str, pause: Option<(Instant, Duration)>) -> Duration {
    let (_keep, mut inbox) = session.open(label, ordered()).await.expect("the session lives");
    let (mut last, mut longest, mut number) = (Instant::now(), Duration::ZERO, 0_u64);
    while let Some(message) = inbox.recv().await {
        assert_eq!(message.payload()[..], number.to_be_bytes());
        longest = longest.max(last.elapsed());
        (last, number) = (Instant::now(), number + 1);
        if let Some((at, length)) = pause.filter(|(at, length)| last >= *at && last < *at + *length) {
            sleep_until(at + length).await;
        }
    }
    assert!(number > 0, "nothing was heard of {label}");
    longest
}

/// What happens to the client's side of a session, and when.
fn watch(session: &Session) -> JoinHandle<Vec<(Instant, Event)>> {
    let mut events = session.events();
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(event) = events.next().await {
            seen.push((Instant::now(), event));
        }
        seen
    })
}

/// When something of the kind was seen for the first time, from a moment on.
fn first(seen: &[(Instant, Event)], from: Instant, is: impl Fn(&Event) -> bool) -> Option<Instant> {
    seen.iter().find(|(at, event)| *at >= from && is(event)).map(|(at, _)| *at)
}

/// A server whose application hears `up` and, if asked to, says `down`, all in its process.
fn serve(
    server: &Process,
    session: Session,
    down: Option<(Duration, Instant)>,
) -> oneshot::Receiver<Duration> {
    let (done, heard) = oneshot::channel();
    if let Some((every, until)) = down {
        server.spawn(say(session.clone(), "down", every, until));
    }
    server.spawn(async move {
        // Who listens may have gone with the run.
        let _ = done.send(hear(session, "up", None).await);
    });
    heard
}

/// How long after a killed server is back its client knows, under 100 Hz both ways.
async fn restarted(ends: Ends, away: Duration) -> Duration {
    let (server, client) = (ends.start(Who::Server, config(), None), ends.start(Who::Client, config(), None));
    let (dialed, accepted) = ends.meet(&client, &server).await;
    let start = Instant::now();
    let end = start + AT + away + secs(2);
    drop(serve(&server, accepted, Some((ms(10), end))));
    let watched = watch(&dialed);
    let saying = tokio::spawn(say(dialed.clone(), "up", ms(10), end));
    sleep_until(start + AT).await;
    server.crash().await;
    sleep(away).await;
    let server = ends.start(Who::Server, config(), None);
    let back = Instant::now();
    let accepted =
        server.endpoint.accept().await.expect("the client comes").accept().await.expect("and stays");
    let (out, mut inbox) = accepted.open("up", ordered()).await.expect("the session lives");
    drop(out);
    inbox.recv().await.expect("new messages flow");
    while inbox.recv().await.is_some() {}
    saying.await.expect("nothing panics there");
    dialed.close().await;
    let seen = watched.await.expect("nothing panics there");
    let reset = first(&seen, back, |event| matches!(event, Event::Reset { .. })).expect("it forgot");
    let lost = first(&seen, back, |event| matches!(event, Event::Reconnecting { .. }));
    lost.map_or(reset, |lost| lost.min(reset)) - back
}

#[test]
fn a_restart_under_traffic_is_noticed_as_soon_as_the_server_is_back() {
    let noticed = |away| move |seed| over(&path(), seed, async |ends| restarted(ends, away).await).output;
    let soon = (0..10).map(|seed| noticed(ms(30 * seed))(seed).expect("in time")).collect();
    judge("server-restart", soon, 200);
    judge("server-restart-3s", (0..10).map(|seed| noticed(secs(3))(seed).expect("in time")).collect(), 1300);
}

/// The server's process is stopped, and goes on: how long until its client suspects it, and until messages flow again.
async fn stopped(ends: Ends, every: Duration, both: bool) -> (Duration, Duration) {
    let (server, client) = (ends.start(Who::Server, config(), None), ends.start(Who::Client, config(), None));
    let (dialed, accepted) = ends.meet(&client, &server).await;
    let start = Instant::now();
    let end = start + AT + PAUSE + secs(9);
    let up = serve(&server, accepted, both.then_some((every, end)));
    let watched = watch(&dialed);
    let saying = tokio::spawn(say(dialed.clone(), "up", every, end));
    let down = dialed.clone();
    let down =
        tokio::spawn(async move { if both { hear(down, "down", None).await } else { Duration::ZERO } });
    sleep_until(start + AT).await;
    server.stop();
    sleep_until(start + AT + PAUSE).await;
    server.go_on();
    let gap = up.await.expect("it ends").max(down.await.expect("nothing panics there"));
    saying.await.expect("nothing panics there");
    dialed.close().await;
    let seen = watched.await.expect("nothing panics there");
    let claimed = first(&seen, start, |event| matches!(event, Event::Service(_)));
    assert_eq!(claimed, None, "nothing is known of the service: {seen:?}");
    let told = first(&seen, start + AT, |event| *event == Event::Suspect).expect("it is noticed");
    (told - (start + AT), gap.saturating_sub(PAUSE))
}

#[test]
fn a_stopped_server_is_suspected_and_resumed_when_it_goes_on() {
    let run =
        |seed| over(&path(), seed, async |ends| stopped(ends, ms(50), true).await).output.expect("in time");
    let (told, resumed) = (0..10).map(run).unzip();
    judge("server-stopped", told, 2 * HEARTBEAT.as_millis() as u64);
    judge("server-stopped, after it goes on", resumed, 1300);
}

#[test]
fn a_stopped_server_is_suspected_within_two_heartbeats_when_little_is_said() {
    let run =
        |seed| over(&path(), seed, async |ends| stopped(ends, secs(8), false).await).output.expect("in time");
    judge("server-stopped-idle", (0..10).map(|seed| run(seed).0).collect(), 2 * HEARTBEAT.as_millis() as u64);
}

/// The server's application takes nothing for a while: how long until its client is told.
async fn stalled(ends: Ends) -> Duration {
    let (dialed, accepted) = ends.session(config()).await;
    let start = Instant::now();
    let watched = watch(&dialed);
    let taking = tokio::spawn(hear(accepted, "up", Some((start + AT, PAUSE))));
    say(dialed.clone(), "up", ms(50), start + AT + PAUSE + secs(9)).await;
    taking.await.expect("nothing panics there");
    dialed.close().await;
    let seen = watched.await.expect("nothing panics there");
    let path = |event: &Event| matches!(event, Event::Suspect | Event::Reconnecting { .. });
    assert_eq!(first(&seen, start, path), None, "the path and the process are well: {seen:?}");
    let healths = seen.iter().filter_map(|(_, event)| match event {
        Event::Service(health) => Some(*health),
        _ => None,
    });
    assert_eq!(healths.collect::<Vec<_>>(), [Health::Stalled, Health::Serving]);
    let told = first(&seen, start, |event| matches!(event, Event::Service(_))).expect("there are two");
    told - (start + AT)
}

#[test]
fn a_service_that_takes_nothing_is_told_apart_from_a_path_and_a_process() {
    let told = |seed| over(&path(), seed, stalled).output.expect("in time");
    judge("service-stalled", (0..10).map(told).collect(), 5000 + HEARTBEAT.as_millis() as u64);
}
