//! What a certain packet or frame sets off: a fault at each place of a run, one run after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_netsim::quic::Sim;
use bowline_netsim::{Change, NatChange, NetworkId, Time};

use crate::world::Who;

/// Something that happens at a place of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trap {
    pub(crate) who: Who,
    pub(crate) at: At,
    pub(crate) act: Act,
}

/// A place in what a host does, counted from 1, over all its processes and sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Just before it sends this packet.
    Packet(u64),
    /// This frame of the protocol has left it, and time goes on.
    Sent(u64),
    /// This frame has been read, and nothing that it brings about has left.
    Received(u64),
}

/// Whether a host sent a frame, or received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Sent,
    Received,
}

/// A frame of the protocol, by its name, with the host that sent or received it.
pub(crate) type Step = (Who, Way, String);

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
    /// Frames that each host has sent and received, in their order, if somebody watches.
    steps: Vec<Step>,
    /// A cut that waits until a frame of this host has left, and since when it has.
    armed: Option<(Who, Option<Time>)>,
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
            if let Some((_, left @ None)) = inner.armed.as_mut().filter(|(armed, _)| *armed == who) {
                *left = Some(self.sim.now());
            }
            let now = before + 1..=before + packets;
            let sprung = |trap: &Trap| {
                trap.who == who && matches!(trap.at, At::Packet(packet) if now.contains(&packet))
            };
            let acts: Vec<Act> =
                inner.traps.iter().filter(|trap| sprung(trap)).map(|trap| trap.act).collect();
            inner.sprung += acts.len();
            acts
        };
        acts.into_iter().for_each(|act| self.spring(act));
    }

    /// A host sends or has received a frame.
    pub(crate) fn step(&self, who: Who, way: Way, frame: String) {
        let acts = {
            let mut inner = self.inner();
            inner.steps.push((who, way, frame));
            let same = |step: &&Step| (step.0, step.1) == (who, way);
            let number = inner.steps.iter().filter(same).count() as u64;
            let at = match way {
                Way::Sent => At::Sent(number),
                Way::Received => At::Received(number),
            };
            let sprung = |trap: &&Trap| trap.who == who && trap.at == at;
            let acts: Vec<Act> = inner.traps.iter().filter(sprung).map(|trap| trap.act).collect();
            if way == Way::Sent && !acts.is_empty() {
                inner.armed = Some((who, None));
                return;
            }
            inner.sprung += acts.len();
            acts
        };
        acts.into_iter().for_each(|act| self.spring(act));
    }

    /// Somebody is about to send or receive a packet: what was to leave with a frame has left if time has gone on since.
    pub(crate) fn looks(&self) {
        let now = self.sim.now();
        let due = {
            let mut inner = self.inner();
            let due = inner.armed.take_if(|(_, left)| left.is_some_and(|left| left < now)).is_some();
            inner.sprung += usize::from(due);
            due
        };
        if due {
            self.spring(Act::Cut);
        }
    }

    /// The frames so far.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.inner().steps.clone()
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
