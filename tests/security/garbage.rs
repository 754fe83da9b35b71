//! Bytes without any sense, where sense is expected: the same ones at every run.

use bowline::wire::Control;
use bowline::wire::control::encode;
use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::host::{Bystander, Host};
use crate::raw::{Claim, Crowd, naming, records};
use crate::soon;

const LINKS: u32 = 150;

/// Random bytes, or valid ones of which some are changed, cut out or doubled.
fn garbage(random: &mut StdRng, valid: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(1..200)];
    random.fill_bytes(&mut bytes);
    if random.random_ratio(1, 3) {
        return bytes;
    }
    let mut bytes = valid.to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..3) {
            0 => bytes[at] = random.random(),
            1 => drop(bytes.drain(at..at.saturating_add(3).min(bytes.len() - 1).max(at))),
            _ => bytes.insert(at, random.random()),
        }
    }
    bytes
}

fn frame(control: &Control) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    encode(control, &mut bytes);
    bytes.to_vec()
}

#[tokio::test]
async fn strangers_may_say_anything_instead_of_a_hello() {
    let mut random = StdRng::seed_from_u64(1);
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let crowd = Crowd::new();
    for _ in 0..LINKS {
        let mut link = crowd.link(host.address).await;
        let hello = frame(&Control::Hello(Box::new(Claim::new(1).hello(&link))));
        for _ in 0..10 {
            link.say_bytes(&garbage(&mut random, &hello)).await;
        }
        let _ = link.control.finish();
        // It may have been a Hello after all: then it waits for a decision, or is refused.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(20), link.connection.closed()).await;
    }
    bystander.is_unharmed().await;
}

#[tokio::test]
async fn peers_may_say_anything_on_any_stream() {
    let mut random = StdRng::seed_from_u64(2);
    let mut host = Host::with(bowline::Config::default().max_sessions_per_identity(1000));
    let bystander = Bystander::of(&mut host).await;
    let crowd = Crowd::new();
    let (naming, data) = (frame(&naming(0, "chat")), records(0, 0, &[b"some", b"thing"]));
    for number in 0..LINKS {
        let mut link = crowd.link(host.address).await;
        let mut claim = Claim::new(3);
        claim.session = bowline::SessionId::from_bytes(
            [&[0; 12][..], &number.to_be_bytes()].concat().try_into().unwrap(),
        );
        link.attach(&claim).await;
        let session = host.session().await;
        link.say_bytes(&naming).await;
        for _ in 0..10 {
            let datagram = garbage(&mut random, &[0x46; 4]);
            let _ = link.connection.send_datagram(Bytes::from(datagram));
            if let Ok(mut stream) = soon(link.connection.open_uni()).await {
                let _ = stream.write_all(&garbage(&mut random, &data)).await;
            }
        }
        for _ in 0..10 {
            link.say_bytes(&garbage(&mut random, &naming)).await;
        }
        // If none of it broke a rule, this does: the session ends either way.
        link.say_bytes(&[0xff; 8]).await;
        soon(session.closed()).await;
    }
    bystander.is_unharmed().await;
    assert_eq!(host.endpoint.stats().sessions, 1);
}
