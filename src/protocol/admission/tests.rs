//! Who may have a session, who is refused, and whom a new one supersedes.

use bytes::Bytes;

use super::*;
use crate::error::Side;
use crate::id::Epoch;
use crate::wire::PeerLimits;

const SECRET: Secret = Secret([7; 32]);

fn info(binding: &[u8]) -> LinkInfo {
    LinkInfo { exporter: [1; 32], binding: binding.to_vec(), credentials: Bytes::new() }
}

fn hello(session: u8, secret: &Secret, with_secret: bool) -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        session: SessionId::from_bytes([session; 16]),
        secret: with_secret.then(|| secret.clone()),
        epoch: Epoch::new(1).unwrap(),
        peer_epoch: None,
        counter: 1,
        proof: proof::prove(secret, &[1; 32], 1),
        limits: PeerLimits { max_message_size: 1, max_channels: 1 },
        credentials: Bytes::new(),
    }
}

fn code(judgement: Judgement) -> (CloseCode, bool) {
    match judgement {
        Judgement::Refuse(refuse) => (CloseCode::from_value(refuse.code), refuse.retry),
        other => panic!("{other:?}"),
    }
}

fn insert(table: &mut Admission, session: u8, binding: &[u8]) {
    table.insert(SessionId::from_bytes([session; 16]), SECRET, binding.to_vec());
}

#[test]
fn a_known_session_needs_its_proof_and_its_identity() {
    let now = Instant::now();
    let mut table = Admission::new(9, 9, false);
    insert(&mut table, 1, b"ada");
    assert_eq!(table.judge(&hello(1, &SECRET, false), &info(b"ada"), now), Judgement::Attach);
    assert_eq!(table.judge(&hello(1, &SECRET, true), &info(b"ada"), now), Judgement::Attach);
    let wrong = Secret([8; 32]);
    assert_eq!(
        code(table.judge(&hello(1, &wrong, true), &info(b"ada"), now)),
        (CloseCode::WrongProof, false)
    );
    assert_eq!(
        code(table.judge(&hello(1, &SECRET, false), &info(b"eve"), now)),
        (CloseCode::WrongProof, false)
    );
    let other_connection = LinkInfo { exporter: [2; 32], ..info(b"ada") };
    assert_eq!(
        code(table.judge(&hello(1, &SECRET, false), &other_connection, now)),
        (CloseCode::WrongProof, false)
    );
}

#[test]
fn an_unknown_session_is_created_only_with_its_secret() {
    let now = Instant::now();
    let table = Admission::new(9, 9, false);
    let forgotten = Judgement::Retry(Retry::Forgotten);
    assert_eq!(table.judge(&hello(1, &SECRET, false), &info(b"ada"), now), forgotten);
    let create = Judgement::Create { supersedes: vec![] };
    assert_eq!(table.judge(&hello(1, &SECRET, true), &info(b"ada"), now), create);
}

#[test]
fn limits_hold_in_all_and_per_identity() {
    let now = Instant::now();
    let mut table = Admission::new(3, 2, false);
    insert(&mut table, 1, b"ada");
    insert(&mut table, 2, b"ada");
    assert_eq!(code(table.judge(&hello(9, &SECRET, true), &info(b"ada"), now)), (CloseCode::Busy, true));
    insert(&mut table, 3, b"bob");
    assert_eq!(code(table.judge(&hello(9, &SECRET, true), &info(b"cy"), now)), (CloseCode::Busy, true));
    table.remove(SessionId::from_bytes([1; 16]), None, now);
    let create = Judgement::Create { supersedes: vec![] };
    assert_eq!(table.judge(&hello(9, &SECRET, true), &info(b"ada"), now), create);
}

#[test]
fn single_login_supersedes_the_same_identity_only() {
    let now = Instant::now();
    let mut table = Admission::new(2, 1, true);
    insert(&mut table, 1, b"ada");
    insert(&mut table, 2, b"bob");
    let supersedes = vec![SessionId::from_bytes([1; 16])];
    assert_eq!(table.judge(&hello(9, &SECRET, true), &info(b"ada"), now), Judgement::Create { supersedes });
    assert_eq!(code(table.judge(&hello(9, &SECRET, true), &info(b""), now)), (CloseCode::Busy, true));
    insert(&mut table, 3, b"ada");
    insert(&mut table, 4, b"");
    insert(&mut table, 5, b"");
    let id = |byte| SessionId::from_bytes([byte; 16]);
    assert_eq!(table.superseded_by(id(3)), [id(1)]);
    assert_eq!(table.superseded_by(id(2)), []);
    assert_eq!(table.superseded_by(id(4)), [], "nobody knows who they are");
    assert_eq!(Admission::new(2, 1, false).superseded_by(id(1)), []);
}

#[test]
fn an_end_is_told_to_its_own_identity_for_ten_minutes() {
    let now = Instant::now();
    let mut table = Admission::new(9, 9, false);
    insert(&mut table, 1, b"ada");
    let reason = CloseReason {
        code: CloseCode::Normal,
        side: Side::Local,
        clean: true,
        retry: true,
        reason: "bye".into(),
    };
    table.remove(SessionId::from_bytes([1; 16]), Some(reason), now);
    assert_eq!(code(table.judge(&hello(1, &SECRET, false), &info(b"ada"), now)), (CloseCode::Normal, false));
    assert_eq!(
        code(table.judge(&hello(1, &SECRET, false), &info(b"eve"), now)),
        (CloseCode::WrongProof, false)
    );
    let later = now + TOMBSTONE;
    let forgotten = Judgement::Retry(Retry::Forgotten);
    assert_eq!(table.judge(&hello(1, &SECRET, false), &info(b"ada"), later), forgotten);
}

#[test]
fn only_version_one_is_spoken() {
    let table = Admission::new(9, 9, false);
    let future = Hello { version_min: 2, version_max: 3, ..hello(1, &SECRET, true) };
    let judgement = table.judge(&future, &info(b"ada"), Instant::now());
    assert_eq!(code(judgement), (CloseCode::VersionMismatch, false));
}
