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
mod tests;
