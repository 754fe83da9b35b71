//! Lifetime probes (rule H6): connections without a session, which cost little, end by themselves and are few.

use std::time::Duration;

use bowline::wire::{Confirm, Control, Probe};
use bowline::{Config, Identity};

use crate::host::{Bystander, Host, identity};
use crate::raw::{Claim, Face, Link};
use crate::soon;

fn after(answer_after_ms: u64) -> Control {
    Control::Probe(Probe { answer_after_ms })
}

/// A connection whose probe is being served.
async fn probe(host: &Host, face: Face<'_>) -> Link {
    let mut link = Link::dial(host.address, face).await;
    link.say(&after(0)).await;
    assert_eq!(link.hear().await, Control::ProbeAnswer);
    link
}

/// Waits until so many are served.
async fn served(host: &Host, probes: usize) {
    soon(async {
        while host.endpoint.stats().probes != probes {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_probe_is_answered_when_it_asks_to_be_and_makes_no_session() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let dialer = identity();
    let mut link = probe(&host, Face::of(&dialer)).await;
    let asked = tokio::time::Instant::now();
    link.say(&after(300)).await;
    assert_eq!(link.hear().await, Control::ProbeAnswer);
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    let stats = host.endpoint.stats();
    assert_eq!((stats.sessions, stats.handshakes, stats.probes, stats.refused), (1, 0, 1, 0));
    drop(link);
    served(&host, 0).await;
    assert!(host.has_no_more());
    bystander.is_unharmed().await;
}

#[tokio::test]
async fn what_breaks_the_rules_of_probes_ends_the_connection() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let dialer = identity();
    let confirm = Control::Confirm(Confirm { counter: 1, durable: false });
    for (name, frame, words) in [
        ("another frame", confirm, "a probe connection carries probes only"),
        ("too long a silence", after(600_001), "Probe.answer_after_ms is 600001"),
    ] {
        let mut link = probe(&host, Face::of(&dialer)).await;
        link.say(&frame).await;
        assert_ends(&link, name, words).await;
    }
    let mut link = probe(&host, Face::of(&dialer)).await;
    let hello = Claim::new(1).hello(&link);
    link.say(&Control::Hello(Box::new(hello))).await;
    assert_ends(&link, "a Hello", "a probe connection carries probes only").await;
    let mut link = probe(&host, Face::of(&dialer)).await;
    for _ in 1..16 {
        link.say(&after(0)).await;
        assert_eq!(link.hear().await, Control::ProbeAnswer);
    }
    link.say(&after(0)).await;
    assert_ends(&link, "one too many", "more than 16 probes").await;
    let mut link = Link::dial(host.address, Face::of(&dialer)).await;
    let hello = Claim::new(2).hello(&link);
    link.hear_retry(bowline::wire::Hello { secret: None, ..hello }).await;
    link.say(&after(0)).await;
    assert_ends(&link, "behind a Hello", "a probe behind a Hello").await;
    served(&host, 0).await;
    assert!(host.has_no_more());
    bystander.is_unharmed().await;
}

async fn assert_ends(link: &Link, name: &str, words: &str) {
    let (code, reason) = link.end().await;
    assert_eq!(code, 1, "{name}: {reason}");
    assert!(reason.contains(words), "{name}: {words:?} is not in {reason:?}");
}

/// A probe that is refused because there are too many.
async fn assert_full(host: &Host, face: Face<'_>) {
    let refused = host.endpoint.stats().refused;
    let mut link = Link::dial(host.address, face).await;
    link.say(&after(0)).await;
    let (code, reason) = link.end().await;
    assert_eq!((code, reason.as_str()), (5, "no more lifetime probes are served now"));
    soon(async {
        while host.endpoint.stats().refused == refused {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn there_are_only_so_many_probes_of_one_peer_and_of_all() {
    let host = Host::with(Config::default().max_probes(20));
    let dialers: Vec<Identity> = (0..2).map(|_| identity()).collect();
    let mut links = Vec::new();
    for dialer in &dialers {
        for _ in 0..8 {
            let mut link = probe(&host, Face::of(dialer)).await;
            link.say(&after(600_000)).await;
            links.push(link);
        }
        assert_full(&host, Face::of(dialer)).await;
    }
    for _ in 0..4 {
        links.push(probe(&host, Face::anonymous()).await);
    }
    assert_full(&host, Face::anonymous()).await;
    assert_full(&host, Face::of(&identity())).await;
    assert_eq!(host.endpoint.stats().probes, 20);
    // A connection that is gone makes room at once, however long it meant to be silent.
    links.remove(0);
    served(&host, 19).await;
    links.push(probe(&host, Face::of(&identity())).await);
    // And they do not keep an endpoint from closing.
    soon(host.endpoint.close("enough", Duration::ZERO)).await;
    for link in &links {
        assert_eq!(link.end().await.0, 0);
    }
    assert_eq!(host.endpoint.stats().probes, 0);
}

#[tokio::test]
async fn sessions_are_taken_while_as_many_probes_as_may_are_silent() {
    let mut host = Host::with(Config::default().max_probes(8).max_handshakes(4));
    let dialer = identity();
    let mut links = Vec::new();
    for _ in 0..8 {
        let mut link = probe(&host, Face::of(&dialer)).await;
        link.say(&after(600_000)).await;
        links.push(link);
    }
    let bystander = Bystander::of(&mut host).await;
    assert_full(&host, Face::of(&dialer)).await;
    bystander.is_unharmed().await;
    assert_eq!((host.endpoint.stats().probes, host.endpoint.stats().handshakes), (8, 0));
}
