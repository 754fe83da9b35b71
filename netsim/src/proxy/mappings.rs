//! Which client speaks to the server from which socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use crate::time::Time;

/// A mapping, from when a client first spoke until the NAT gave it another one. Each has a socket of its own
/// towards the server. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MappingId(u64);

#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) client: SocketAddr,
    /// The address that the client speaks to, where the proxy listens on all of them.
    pub(super) local: Option<IpAddr>,
    /// What the NAT made of the client.
    pub(super) outside: SocketAddr,
    /// It is dead when the NAT has forgotten it: its socket stays, and hears in vain.
    pub(super) alive: bool,
    /// When to look whether it has expired.
    look_at: Time,
}

/// All mappings, and no more of them than a limit. The dead make room first, the longest dead before others.
#[derive(Debug)]
pub(super) struct Mappings {
    limit: usize,
    by_id: BTreeMap<MappingId, Mapping>,
    by_client: BTreeMap<SocketAddr, MappingId>,
    dead: VecDeque<MappingId>,
    due: BTreeSet<(Time, MappingId)>,
    made: u64,
}

impl Mappings {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            by_id: BTreeMap::new(),
            by_client: BTreeMap::new(),
            dead: VecDeque::new(),
            due: BTreeSet::new(),
            made: 0,
        }
    }

    pub(super) fn made(&self) -> u64 {
        self.made
    }

    pub(super) fn alive(&self) -> usize {
        self.by_id.len() - self.dead.len()
    }

    pub(super) fn full(&self) -> bool {
        self.by_id.len() >= self.limit
    }

    pub(super) fn mapping(&self, id: MappingId) -> Option<&Mapping> {
        self.by_id.get(&id)
    }

    /// The mapping that a client has now.
    pub(super) fn of_client(&self, client: SocketAddr) -> Option<(MappingId, &Mapping)> {
        let id = *self.by_client.get(&client)?;
        self.by_id.get(&id).filter(|mapping| mapping.alive).map(|mapping| (id, mapping))
    }

    /// Where to send from when a client is answered; also when its mapping is dead, for what is still on its way.
    pub(super) fn local_of(&self, client: SocketAddr) -> Option<IpAddr> {
        self.by_id.get(self.by_client.get(&client)?)?.local
    }

    /// A client has a new mapping; an old one of his is dead by now.
    pub(super) fn insert(
        &mut self,
        client: SocketAddr,
        local: Option<IpAddr>,
        outside: SocketAddr,
        look_at: Time,
    ) -> MappingId {
        self.made += 1;
        let id = MappingId(self.made);
        if let Some((old, _)) = self.of_client(client) {
            self.kill(old);
        }
        self.by_client.insert(client, id);
        self.by_id.insert(id, Mapping { client, local, outside, alive: true, look_at });
        self.due.insert((look_at, id));
        id
    }

    /// The NAT has moved a mapping that lives.
    pub(super) fn set_outside(&mut self, id: MappingId, outside: SocketAddr) {
        if let Some(mapping) = self.by_id.get_mut(&id) {
            mapping.outside = outside;
        }
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The mapping to look at by now.
    pub(super) fn due(&self, now: Time) -> Option<(MappingId, SocketAddr)> {
        let (at, id) = self.due.first()?;
        let mapping = self.by_id.get(id).filter(|_| *at <= now)?;
        Some((*id, mapping.client))
    }

    pub(super) fn look_again(&mut self, id: MappingId, at: Time) {
        if let Some(mapping) = self.by_id.get_mut(&id) {
            self.due.remove(&(mapping.look_at, id));
            mapping.look_at = at;
            self.due.insert((at, id));
        }
    }

    /// The NAT has forgotten it.
    pub(super) fn kill(&mut self, id: MappingId) {
        if let Some(mapping) = self.by_id.get_mut(&id).filter(|mapping| mapping.alive) {
            mapping.alive = false;
            self.due.remove(&(mapping.look_at, id));
            self.dead.push_back(id);
        }
    }

    /// The ids of those that live, with their clients.
    pub(super) fn living(&self) -> Vec<(MappingId, SocketAddr)> {
        let alive = self.by_id.iter().filter(|(_, mapping)| mapping.alive);
        alive.map(|(id, mapping)| (*id, mapping.client)).collect()
    }

    /// Removes the one that has been dead for longest; says also which client has none left.
    pub(super) fn remove_dead(&mut self) -> Option<(MappingId, Option<SocketAddr>)> {
        let id = self.dead.pop_front()?;
        let mapping = self.by_id.remove(&id)?;
        let was_last = self.by_client.get(&mapping.client) == Some(&id);
        if was_last {
            self.by_client.remove(&mapping.client);
        }
        Some((id, was_last.then_some(mapping.client)))
    }
}
