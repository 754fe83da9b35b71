//! Who may attach to what, on the accepting side: judged from the Hello alone, before anything is kept for the peer
//! (rules S1, S2, S4, G10, G11).
//!
//! | the Hello names | and | judgement |
//! |---|---|---|
//! | a known session | proof and identity hold | attach |
//! | a known session | they do not | refuse: wrong proof |
//! | an ended session | its identity is the one it had | refuse, with the reason of its end |
//! | an unknown session | it brings no secret | retry: forgotten |
//! | an unknown session | it brings the secret, and there is room | create |
//! | an unknown session | there is no room | refuse: busy |

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::proof;
use super::types::{Judgement, LinkInfo};
use crate::error::{CloseCode, CloseReason};
use crate::id::SessionId;
use crate::wire::{Hello, Refuse, Retry, Secret, VERSION};

/// How long the end of a session is remembered for a dialer that missed it (rule T4).
const TOMBSTONE: Duration = Duration::from_secs(600);
/// Most ends remembered; the oldest give way.
const MAX_TOMBSTONES: usize = 4096;

/// The acceptor's table of sessions.
#[derive(Debug)]
pub struct Admission {
    max_sessions: usize,
    max_per_identity: usize,
    one_per_identity: bool,
    sessions: BTreeMap<SessionId, Known>,
    /// Sessions of each binding.
    identities: BTreeMap<Vec<u8>, Vec<SessionId>>,
    tombstones: BTreeMap<SessionId, Tombstone>,
    /// In the order of their ends.
    buried: VecDeque<SessionId>,
}

#[derive(Debug)]
struct Known {
    secret: Secret,
    binding: Vec<u8>,
}

#[derive(Debug)]
struct Tombstone {
    binding: Vec<u8>,
    reason: CloseReason,
    until: Instant,
}

impl Admission {
    /// An empty table with these limits; with `one_per_identity` a new session of a known peer supersedes its older
    /// ones (single login).
    pub fn new(max_sessions: usize, max_per_identity: usize, one_per_identity: bool) -> Self {
        Self {
            max_sessions,
            max_per_identity,
            one_per_identity,
            sessions: BTreeMap::new(),
            identities: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            buried: VecDeque::new(),
        }
    }

    /// What to do with a Hello. Changes nothing.
    pub fn judge(&self, hello: &Hello, info: &LinkInfo, now: Instant) -> Judgement {
        if hello.version_min > VERSION || hello.version_max < VERSION {
            let (low, high) = (hello.version_min, hello.version_max);
            let reason =
                format!("this side speaks protocol version {VERSION}, the dialer versions {low} to {high}");
            return refuse(CloseCode::VersionMismatch, reason, false);
        }
        let proves = |secret: &Secret| proof::verify(secret, &info.exporter, hello.counter, &hello.proof);
        if let Some(known) = self.sessions.get(&hello.session) {
            return if known.binding == info.binding && proves(&known.secret) {
                Judgement::Attach
            } else {
                wrong_proof()
            };
        }
        if let Some(tombstone) = self.tombstones.get(&hello.session).filter(|tombstone| now < tombstone.until)
        {
            // A stranger learns nothing of a session that was not its own.
            let own = tombstone.binding == info.binding;
            return if own {
                let retry = false;
                refuse(tombstone.reason.code, tombstone.reason.reason.clone(), retry)
            } else {
                wrong_proof()
            };
        }
        match &hello.secret {
            None => Judgement::Retry(Retry::Forgotten),
            Some(secret) if !proves(secret) => wrong_proof(),
            Some(_) => self.judge_new(&info.binding),
        }
    }

    fn judge_new(&self, binding: &[u8]) -> Judgement {
        let own = self.identities.get(binding).map_or(&[][..], Vec::as_slice);
        let supersedes = if self.is_single(binding) { own.to_vec() } else { Vec::new() };
        let remaining = self.sessions.len() - supersedes.len();
        if remaining >= self.max_sessions {
            let reason = format!("all {} sessions are taken", self.max_sessions);
            return refuse(CloseCode::Busy, reason, true);
        }
        if own.len() - supersedes.len() >= self.max_per_identity {
            let reason = format!("this identity has {} sessions, as many as it may", own.len());
            return refuse(CloseCode::Busy, reason, true);
        }
        Judgement::Create { supersedes }
    }

    fn is_single(&self, binding: &[u8]) -> bool {
        self.one_per_identity && !binding.is_empty()
    }

    /// The sessions of the same identity that end when this one is confirmed.
    pub fn superseded_by(&self, session: SessionId) -> Vec<SessionId> {
        let binding = self.sessions.get(&session).map_or(&[][..], |known| &known.binding);
        let own = self.identities.get(binding).filter(|_| self.is_single(binding));
        own.into_iter().flatten().copied().filter(|&other| other != session).collect()
    }

    /// A session is being created (after [`Judgement::Create`]).
    pub fn insert(&mut self, session: SessionId, secret: Secret, binding: Vec<u8>) {
        self.tombstones.remove(&session);
        self.identities.entry(binding.clone()).or_default().push(session);
        self.sessions.insert(session, Known { secret, binding });
    }

    /// A session ended, or came to nothing (`None`). Its reason is told to a dialer of the same identity that comes back
    /// within ten minutes.
    pub fn remove(&mut self, session: SessionId, reason: Option<CloseReason>, now: Instant) {
        let Some(known) = self.sessions.remove(&session) else { return };
        if let Some(own) = self.identities.get_mut(&known.binding) {
            own.retain(|&other| other != session);
            if own.is_empty() {
                self.identities.remove(&known.binding);
            }
        }
        // A session that merely expired, or was never confirmed, is one that its dialer may well create again.
        let for_good =
            |reason: &CloseReason| !matches!(reason.code, CloseCode::Expired | CloseCode::Reattach);
        let Some(reason) = reason.filter(for_good) else { return };
        let tombstone = Tombstone { binding: known.binding, reason, until: now + TOMBSTONE };
        self.tombstones.insert(session, tombstone);
        self.buried.push_back(session);
        while self.buried.len() > MAX_TOMBSTONES
            || self.buried.front().is_some_and(|oldest| {
                self.tombstones.get(oldest).is_none_or(|tombstone| now >= tombstone.until)
            })
        {
            if let Some(oldest) = self.buried.pop_front() {
                self.tombstones.remove(&oldest);
            }
        }
    }

    /// Sessions in the table.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

fn refuse(code: CloseCode, reason: String, retry: bool) -> Judgement {
    Judgement::Refuse(Refuse { code: code.value(), reason, retry })
}

fn wrong_proof() -> Judgement {
    refuse(CloseCode::WrongProof, "the proof for this session does not hold".to_owned(), false)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            table.judge(&hello(9, &SECRET, true), &info(b"ada"), now),
            Judgement::Create { supersedes }
        );
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
        assert_eq!(
            code(table.judge(&hello(1, &SECRET, false), &info(b"ada"), now)),
            (CloseCode::Normal, false)
        );
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
}
