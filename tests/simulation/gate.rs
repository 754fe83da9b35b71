//! What a certain packet sets off: a fault at each place of a run, one run after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_netsim::quic::Sim;
use bowline_netsim::{Change, NatChange, NetworkId};

use crate::world::Who;

/// Something that happens just before a host sends a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trap {
    pub(crate) who: Who,
    /// Which packet of this host, counted from 1, over all its processes and sockets.
    pub(crate) packet: u64,
    pub(crate) act: Act,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// The client's NAT gives every flow another port.
    Rebind,
    /// Every socket that the client has goes dead, in both directions and for ever; later ones work.
    Cut,
}

/// Every packet of a run passes here.
#[derive(Debug)]
pub(crate) struct Gate {
    sim: Sim,
    nat: Option<NetworkId>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    traps: Vec<Trap>,
    /// Packets that each host has sent.
    passed: [u64; 2],
    /// The client's sockets.
    sockets: Vec<Arc<AtomicBool>>,
    sprung: usize,
}

impl Gate {
    pub(crate) fn new(sim: Sim, nat: Option<NetworkId>) -> Self {
        Self { sim, nat, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, traps: Vec<Trap>) {
        self.inner().traps = traps;
    }

    /// A new socket of the client, and the flag that makes it dead.
    pub(crate) fn guard(&self, cut: Arc<AtomicBool>) {
        self.inner().sockets.push(cut);
    }

    /// A host is about to send so many packets.
    pub(crate) fn passes(&self, who: Who, packets: u64) {
        let acts = {
            let mut inner = self.inner();
            let before = inner.passed[who as usize];
            inner.passed[who as usize] += packets;
            let now = before + 1..=before + packets;
            let sprung = |trap: &Trap| trap.who == who && now.contains(&trap.packet);
            let acts: Vec<Act> =
                inner.traps.iter().filter(|trap| sprung(trap)).map(|trap| trap.act).collect();
            inner.sprung += acts.len();
            acts
        };
        acts.into_iter().for_each(|act| self.spring(act));
    }

    fn spring(&self, act: Act) {
        match act {
            Act::Rebind => {
                let nat = self.nat.expect("the client is behind a NAT");
                self.sim.with_world(|now, world| {
                    world.change(now, Change::Nat(nat, NatChange::RebindPorts)).expect("it is there");
                });
            }
            Act::Cut => {
                self.inner().sockets.drain(..).for_each(|cut| cut.store(true, Ordering::Relaxed));
            }
        }
    }

    /// How many packets each host has sent, and how many traps were sprung.
    pub(crate) fn passed(&self) -> ([u64; 2], usize) {
        let inner = self.inner();
        (inner.passed, inner.sprung)
    }
}
