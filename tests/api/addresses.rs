//! Other addresses than IPv4's loopback.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use bowline::protocol::types::SessionState;
use bowline::{Endpoint, Session};

use crate::support::{dialer, identity, line, nimble, text, within};

async fn exchange(dialed: &Session, accepted: &Session) {
    let mut line = line(dialed, accepted, "addresses").await;
    drop(line.out.send("there").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "there");
    drop(line.peer_out.send("back").await.unwrap());
    assert_eq!(text(&mut line.back).await, "back");
}

#[tokio::test]
async fn sessions_work_over_ipv6_and_by_name() {
    if let Err(error) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        return println!("skipped: this machine has no IPv6 loopback ({error})");
    }
    let server = Endpoint::bind((Ipv6Addr::LOCALHOST, 0), identity(), nimble()).unwrap();
    let client = dialer(nimble());
    let addr = server.local_addr().unwrap();
    let (dialed, accepted) = crate::support::meet_at(&client, &server, addr).await;
    exchange(&dialed, &accepted).await;
    let text = format!("[::1]:{}", addr.port());
    let dial = client.connect(text.as_str(), crate::support::trust(&server));
    let (again, _accepted) = tokio::join!(within("a session", dial), crate::support::accept(&server));
    assert_eq!(again.unwrap().state(), SessionState::Connected);
}

#[tokio::test]
async fn a_dual_stack_listener_takes_both_families() {
    let Ok(server) = Endpoint::bind((Ipv6Addr::UNSPECIFIED, 0), identity(), nimble()) else {
        return println!("skipped: this machine has no IPv6");
    };
    let client = dialer(nimble());
    let port = server.local_addr().unwrap().port();
    let (dialed, accepted) =
        crate::support::meet_at(&client, &server, (Ipv4Addr::LOCALHOST, port).into()).await;
    exchange(&dialed, &accepted).await;
}

#[tokio::test]
async fn a_name_with_several_addresses_finds_the_one_that_answers() {
    let server = Endpoint::bind((Ipv4Addr::LOCALHOST, 0), identity(), nimble()).unwrap();
    let client = dialer(nimble());
    // Where `localhost` is `::1` too, that one is tried first, and nobody answers there.
    let target = format!("localhost:{}", server.local_addr().unwrap().port());
    let dial = client.connect(target, crate::support::trust(&server));
    let (dialed, accepted) = tokio::join!(within("a session", dial), crate::support::accept(&server));
    exchange(&dialed.unwrap(), &accepted).await;
}
