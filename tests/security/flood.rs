//! More of everything than anybody needs, before a session is made: bounded in number and time (G10).

use std::net::Ipv4Addr;
use std::time::Duration;

use bowline::wire::control::encode;
use bowline::wire::{Control, MAX_HELLO};
use bowline::{CloseCode, Config, Endpoint};
use bytes::BytesMut;

use crate::host::{Bystander, Host, identity};
use crate::raw::{Claim, Crowd, Face, Link};
use crate::soon;

const SLOTS: usize = 8;
const IMPATIENT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_thousand_handshakes_too_many_are_refused_while_sessions_go_on() {
    let patient = Duration::from_secs(60);
    let config = Config::default().max_handshakes(SLOTS).handshake_timeout(patient);
    let mut host = Host::with(config);
    let bystander = Bystander::of(&mut host).await;
    let crowd = Crowd::new();
    // They get in and say nothing.
    let mut silent = Vec::new();
    for _ in 0..SLOTS {
        silent.push(crowd.dial(host.address).await.unwrap());
    }
    assert_eq!(host.endpoint.stats().handshakes, SLOTS);
    let refused_before = host.endpoint.stats().refused;
    for _ in 0..20 {
        let fifty = (0..50).map(|_| tokio::spawn(crowd.dial(host.address)));
        for dial in fifty.collect::<Vec<_>>() {
            soon(dial).await.unwrap().expect_err("there is no room");
            assert!(host.endpoint.stats().handshakes <= SLOTS);
        }
        bystander.is_unharmed().await;
    }
    assert_eq!(host.endpoint.stats().refused - refused_before, 1000);
    // Room again, as soon as one leaves.
    silent.pop().unwrap().close(0u32.into(), b"");
    while host.endpoint.stats().handshakes == SLOTS {
        tokio::task::yield_now().await;
    }
    crowd.dial(host.address).await.unwrap();
}

#[tokio::test]
async fn a_hello_that_takes_too_long_is_not_waited_for() {
    let mut host = Host::with(Config::default().handshake_timeout(IMPATIENT));
    let bystander = Bystander::of(&mut host).await;
    let dialer = identity();
    let too_long = (5, "it took too long to attach".to_owned());

    let silent = Link::dial(host.address, Face::of(&dialer)).await;
    assert_eq!(silent.end().await, too_long);

    let mut slow = Link::dial(host.address, Face::of(&dialer)).await;
    let mut bytes = BytesMut::new();
    encode(&Control::Hello(Box::new(Claim::new(1).hello(&slow))), &mut bytes);
    let drip = async {
        for byte in &bytes {
            if slow.control.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    drip.await;
    assert_eq!(slow.end().await, too_long);

    let mut chatty = Link::dial(host.address, Face::of(&dialer)).await;
    // Frames without a meaning, and without an end.
    while chatty.control.write_all(&[0; MAX_HELLO]).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(chatty.end().await, too_long);
    bystander.is_unharmed().await;
    assert_eq!((host.endpoint.stats().handshakes, host.endpoint.stats().sessions), (0, 1));
    assert!(host.has_no_more());
}

#[tokio::test]
async fn who_waits_for_the_application_takes_a_slot_and_leaves_in_time() {
    let config = Config::default().max_handshakes(SLOTS).handshake_timeout(IMPATIENT);
    let endpoint = Endpoint::bind((Ipv4Addr::LOCALHOST, 0), identity(), config).unwrap();
    let address = endpoint.local_addr().unwrap();
    let dialer = identity();
    let mut links = Vec::new();
    for name in 1..=SLOTS as u8 {
        let mut link = Link::dial(address, Face::of(&dialer)).await;
        let hello = Claim::new(name).hello(&link);
        link.say(&Control::Hello(Box::new(hello))).await;
        links.push(link);
    }
    for link in &links {
        let stats = endpoint.stats();
        assert!(stats.waiting <= SLOTS && stats.handshakes <= SLOTS && stats.sessions == 0);
        assert_eq!(link.end().await.0, u64::from(CloseCode::Busy.value()));
    }
    assert_eq!((endpoint.stats().waiting, endpoint.stats().handshakes), (0, 0));
    assert_eq!(endpoint.stats().refused, SLOTS as u64);
}

#[tokio::test]
async fn what_a_stranger_says_ahead_is_left_to_the_window_of_its_connection() {
    let endpoint = Endpoint::bind((Ipv4Addr::LOCALHOST, 0), identity(), Config::default()).unwrap();
    let mut link = Link::dial(endpoint.local_addr().unwrap(), Face::narrow(&identity())).await;
    let hello = Claim::new(1).hello(&link);
    link.say(&Control::Hello(Box::new(hello))).await;
    let taken = link.write_while_taken(&[0; 4096]).await;
    assert!(taken <= 64 * 1024 + Face::NARROW, "{taken} bytes are taken from a stranger");
    assert_eq!(endpoint.stats().waiting, 1);
}

#[tokio::test]
async fn sessions_are_limited_in_all_and_for_each_identity() {
    let config = Config::default().max_sessions(3).max_sessions_per_identity(2);
    let mut host = Host::with(config);
    let (ada, bob) = (identity(), identity());
    let mut kept = Vec::new();
    for (who, name) in [(&ada, 1), (&ada, 2), (&bob, 3)] {
        kept.push(host.raw(who, &Claim::new(name)).await);
        if name == 2 {
            refused(&host, &ada, "as many as it may").await;
        }
    }
    refused(&host, &bob, "all 3 sessions are taken").await;
    assert_eq!(host.endpoint.stats().sessions, 3);
    // Those that are there come back all the same.
    let mut again = Link::dial(host.address, Face::of(&ada)).await;
    again.attach(&Claim::new(1).at(2)).await;
    assert!(host.has_no_more());
}

async fn refused(host: &Host, who: &bowline::Identity, words: &str) {
    let mut link = Link::dial(host.address, Face::of(who)).await;
    let hello = Claim::new(9).hello(&link);
    link.say(&Control::Hello(Box::new(hello))).await;
    let Control::Refuse(refuse) = link.hear().await else { panic!("not refused") };
    assert_eq!((refuse.code, refuse.retry), (CloseCode::Busy.value(), true));
    assert!(refuse.reason.contains(words), "{}", refuse.reason);
}
