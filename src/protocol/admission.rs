//! CONTRACT STUB: who may attach to what, on the accepting side. Pure.
use std::time::Instant;

use super::types::*;
use crate::error::CloseReason;
use crate::id::SessionId;
use crate::wire::{Hello, Secret};

/// The acceptor's table of sessions: id, secret, identity; and tombstones of ended ones.
pub struct Admission {}

impl Admission {
    /// An empty table with these limits.
    pub fn new(_max_sessions: usize, _max_per_identity: usize, _one_per_identity: bool) -> Self {
        unimplemented!()
    }
    /// What to do with a Hello: version, proof, identity, limits, tombstones. Changes nothing.
    pub fn judge(&self, _hello: &Hello, _info: &LinkInfo, _now: Instant) -> Judgement {
        unimplemented!()
    }
    /// A session was created (after `Judgement::Create`, when the application accepted it, or is about to be asked).
    pub fn insert(&mut self, _session: SessionId, _secret: Secret, _binding: Vec<u8>) {
        unimplemented!()
    }
    /// A session ended; its reason is told to a dialer that comes back within ten minutes.
    pub fn remove(&mut self, _session: SessionId, _reason: Option<CloseReason>, _now: Instant) {
        unimplemented!()
    }
}
