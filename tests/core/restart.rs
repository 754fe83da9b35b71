//! Processes end and begin again, with their stores, with what is left of them, or without.

use std::time::Duration;

use bowline::id::SessionId;
use bowline::protocol::admission::Admission;
use bowline::protocol::machine::Machine;

use crate::link::Side;
use crate::net::DIALER;
use crate::peer::{Peer, Store};
use crate::world::{Who, World, ms_of, new_dialer, setup};

impl World {
    /// The process of a side ends: its connections are gone, and the other side may or may not notice.
    fn drop_links(&mut self, side: Side, notice: Option<Duration>) {
        let now = self.now;
        for link in self.links.values_mut() {
            *link.open(side) = false;
            link.cut = true;
            link.notice.retain(|(_, of)| *of != side);
            link.notice.extend(notice.map(|after| (now + after, side.other())));
        }
        self.late.retain(|(_, of)| *of != side);
        self.copied.clear();
    }

    /// The accepting process is started again. Sessions with a store come back, less `lost` batches.
    pub(crate) fn restart_acceptor(&mut self, lost: usize, notice: Option<Duration>) {
        self.drop_links(Side::Acceptor, notice);
        self.owners.clear();
        self.admission = Admission::new(100, 100, self.settings.one_per_identity);
        let sessions: Vec<SessionId> = self.acceptors.keys().copied().collect();
        for session in sessions {
            let Some(old) = self.acceptors.remove(&session) else { continue };
            let closed = old.is_closed();
            let current = session == self.dialer.machine.session();
            match self.restart(old, lost) {
                Some(peer) if !closed => {
                    let identity = peer.store.as_ref().and_then(|store| store.snapshot.identity.clone());
                    let (_, secret, _) = identity.expect("only a session with an identity is restored");
                    self.admission.insert(session, secret, DIALER.to_vec());
                    self.acceptors.insert(session, peer);
                }
                _ if current && !closed => {
                    self.tally.acceptor_forgot += 1;
                    self.model.losses += 1;
                }
                _ => {}
            }
        }
    }

    /// The accepting process is started again, and its application has opened nothing yet.
    pub(crate) fn restart_acceptor_unopened(&mut self) {
        if let Some(peer) = self.acceptor() {
            peer.channels.clear();
        }
        self.restart_acceptor(0, Some(Duration::ZERO));
    }

    /// The dialing process is started again; without a store it begins a new session.
    pub(crate) fn restart_dialer(&mut self, lost: usize, notice: Option<Duration>) {
        self.drop_links(Side::Dialer, notice);
        self.dial.clear();
        let now = self.now;
        let fresh = new_dialer(&self.settings, &mut self.rng, now);
        let old = std::mem::replace(&mut self.dialer, fresh);
        let closed = old.is_closed();
        if let Some(peer) = self.restart(old, lost).filter(|_| !closed) {
            self.dialer = peer;
        } else {
            self.tally.dialer_forgot += 1;
            self.model.losses += 1;
            self.start_dial(Duration::from_secs(10));
        }
    }

    fn restart(&mut self, mut old: Peer, lost: usize) -> Option<Peer> {
        let now = self.now;
        let closed = old.is_closed();
        let session = old.machine.session();
        let durable = old.store.as_ref().map_or(0, |store| store.durable);
        let lost =
            if old.store.as_ref().is_some_and(|store| store.history.len() > lost + 1) { lost } else { 0 };
        if lost > 0 {
            self.model.lied = true;
            self.model.losses += 1;
            self.tally.tails_lost += 1;
        }
        let snapshot = old.store.as_mut().map(|store| store.reopen(lost)).filter(|_| !closed);
        let Some(snapshot) = snapshot.filter(|snapshot| snapshot.identity.is_some()) else {
            self.model.receiver_gone(&mut old.handed, |_| None);
            return None;
        };
        let epoch = snapshot.identity.as_ref().map(|(_, _, epoch)| *epoch);
        self.model.rolled_back |= epoch != Some(old.machine.epoch());
        self.tally.restores += 1;
        let lied = self.model.lied;
        let former = old.store.as_ref().map(Store::former_epochs).unwrap_or_default();
        self.model.receiver_gone(&mut old.handed, |id| {
            if lied { Some(false) } else { Peer::remembers(&snapshot, &former, id) }
        });
        let setup =
            setup(&self.settings, old.side, session, old.setup.secret.clone(), &mut self.rng, ms_of(now));
        let machine = Machine::restore(setup.clone(), snapshot, now);
        let mut peer = Peer::new(old.side, machine, setup, old.store, now);
        (peer.handed, peer.heard, peer.hearing) = (old.handed, old.heard, old.hearing);
        (peer.other_journals, peer.restored) = (old.other_journals, true);
        let reopens = !self.rng.percent(self.settings.slow_apps);
        let needed = |label: &String| old.receipts.iter().any(|receipt| receipt.label == *label);
        for (label, open) in old.channels.into_iter().filter(|(label, _)| reopens || needed(label)) {
            peer.open(&label, &open.shape, now);
        }
        old.receipts.iter().for_each(|receipt| self.model.inherited(receipt.id));
        if lost == 0 {
            peer.inherit(old.receipts, durable, &mut self.model);
        }
        Some(peer)
    }

    /// A process that is stopped, and goes on later as if nothing had happened.
    pub(crate) fn stop(&mut self, who: Who, length: Duration) {
        self.tally.jumps += 1;
        let now = self.now;
        if let Some(peer) = self.peer(who) {
            peer.stop(now, length);
        }
    }
}
