//! Two processes and the network between them, in virtual time. One event at a time, in the order of time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bowline::error::CloseCode;
use bowline::id::{Epoch, SessionId};
use bowline::protocol::admission::Admission;
use bowline::protocol::machine::Machine;
use bowline::protocol::types::{Event, Lifetime, LinkId, LinkSample, Output};
use bowline::wire::{Control, Frame, Hello, Secret};

use crate::link::{Link, Side};
use crate::model::Model;
use crate::net::name_of;
use crate::peer::Peer;
use crate::rng::Rng;
pub(crate) use crate::settings::{MAX_BODY, MAX_MESSAGE, Settings, Shape, Tally, granted, setup};
use crate::store::Store;

/// The moment at which every world begins.
#[allow(clippy::disallowed_methods, reason = "an Instant has no other constructor; only differences count")]
pub(crate) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Milliseconds since the world began.
pub(crate) fn ms_of(now: Instant) -> u64 {
    (now - epoch()).as_millis() as u64
}

/// Names a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Dialer,
    Acceptor(SessionId),
}

/// An attempt to connect.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) at: Instant,
    pub(crate) succeeds: bool,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    pub(crate) settings: Settings,
    pub(crate) model: Model,
    pub(crate) dialer: Peer,
    pub(crate) admission: Admission,
    pub(crate) acceptors: BTreeMap<SessionId, Peer>,
    pub(crate) links: BTreeMap<LinkId, Link>,
    /// Which session's machine has been given a link, on the accepting side.
    pub(crate) owners: BTreeMap<LinkId, SessionId>,
    pub(crate) late: BTreeSet<(LinkId, Side)>,
    pub(crate) next_link: u64,
    pub(crate) dial: VecDeque<Dialing>,
    pub(crate) net_up: bool,
    pub(crate) tally: Tally,
    /// Frames put on any link, and the one with which its link is cut.
    pub(crate) sent: u64,
    pub(crate) cut_with: Option<u64>,
    /// A message that each side has had.
    pub(crate) copied: BTreeMap<Side, (Epoch, Frame)>,
    /// Lifetime probes of the dialer that are under way, and what it wants remembered of its network.
    pub(crate) probes: Vec<Duration>,
    pub(crate) learned: Option<Option<Lifetime>>,
    /// What an eavesdropper would have.
    pub(crate) last_hello: Option<Hello>,
    /// Moments at which something was done.
    pub(crate) steps: u64,
    pub(crate) trace: bool,
}

impl World {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let limit = settings.max_message.into_iter().min().unwrap_or_default();
        let now = epoch();
        let dialer = new_dialer(&settings, &mut rng, now);
        let admission = Admission::new(100, 100, settings.one_per_identity);
        let mut world = Self {
            now,
            rng,
            settings,
            model: Model::new(limit),
            dialer,
            admission,
            acceptors: BTreeMap::new(),
            links: BTreeMap::new(),
            owners: BTreeMap::new(),
            late: BTreeSet::new(),
            next_link: 0,
            dial: VecDeque::new(),
            net_up: true,
            tally: Tally::default(),
            sent: 0,
            cut_with: None,
            probes: Vec::new(),
            learned: None,
            last_hello: None,
            copied: BTreeMap::new(),
            steps: 0,
            trace: std::env::var("TRACE").is_ok(),
        };
        world.start_dial(Duration::from_secs(10));
        world
    }

    // ---- who is who ----

    pub(crate) fn peer(&mut self, who: Who) -> Option<&mut Peer> {
        match who {
            Who::Dialer => Some(&mut self.dialer),
            Who::Acceptor(session) => self.acceptors.get_mut(&session),
        }
    }

    /// The process of a side that holds the dialer's session.
    pub(crate) fn on(&self, side: Side) -> Who {
        match side {
            Side::Dialer => Who::Dialer,
            Side::Acceptor => Who::Acceptor(self.dialer.machine.session()),
        }
    }

    /// The acceptor's half of the dialer's session.
    pub(crate) fn acceptor(&mut self) -> Option<&mut Peer> {
        self.acceptors.get_mut(&self.dialer.machine.session())
    }

    pub(crate) fn everyone(&self) -> Vec<Who> {
        std::iter::once(Who::Dialer).chain(self.acceptors.keys().map(|&id| Who::Acceptor(id))).collect()
    }

    /// Asks something of a machine on behalf of its application, or tells it something.
    pub(crate) fn with<T>(
        &mut self,
        who: Who,
        ask: impl FnOnce(&mut Peer, &mut Model, Instant) -> T,
    ) -> Option<T> {
        let now = self.now;
        let mut model = std::mem::take(&mut self.model);
        let answer = self.peer(who).map(|peer| {
            peer.wait = None;
            ask(peer, &mut model, now)
        });
        self.model = model;
        answer
    }

    /// Opens a label on one side.
    pub(crate) fn open(&mut self, side: Side, label: &str, shape: &Shape) {
        self.with(self.on(side), |peer, _, now| peer.open(label, shape, now));
    }

    // ---- time ----

    /// Lets this much time pass.
    pub(crate) fn run(&mut self, length: Duration) {
        let end = self.now + length;
        self.settle();
        while let Some(at) = self.next_event()
            && at <= end
        {
            self.now = self.now.max(at);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// Lets time pass until `done`, for at most `length`. Returns whether it came to that.
    pub(crate) fn run_until(&mut self, length: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + length;
        self.settle();
        while !done(self) {
            // Asking may have made the machines want something.
            self.settle();
            match self.next_event() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    self.settle();
                    return done(self);
                }
            }
            self.settle();
        }
        true
    }

    fn next_event(&self) -> Option<Instant> {
        let links = self.links.values().filter_map(|link| self.next_of_link(link));
        let peers = std::iter::once(&self.dialer).chain(self.acceptors.values()).filter_map(|peer| {
            // One that is to be polled and was not is stopped.
            let timer = peer.wait.unwrap_or(Some(self.now));
            let stored = peer.store.as_ref().and_then(|store| store.queue.front().map(|(at, _)| *at));
            let next = timer.into_iter().chain(stored).min()?;
            Some(peer.is_stopped(self.now).map_or(next, |until| next.max(until)))
        });
        let stopped = self.dialer.is_stopped(self.now);
        let dial = self.dial.front().map(|dial| stopped.map_or(dial.at, |until| dial.at.max(until)));
        links.chain(peers).chain(dial).min()
    }

    /// Does everything that is due now.
    pub(crate) fn settle(&mut self) {
        self.steps += 1;
        assert!(
            self.steps < 100_000,
            "G15: no end of events at {:?}: {:?}",
            self.now - epoch(),
            self.next_event().map(|at| self.now - at)
        );
        for _ in 0..10_000 {
            let polled = self.poll_everyone();
            let moved = self.move_frames();
            let dialed = self.finish_dial();
            let stored = self.finish_stores();
            let timers = self.timers();
            if !(polled || moved || dialed || stored || timers) {
                return;
            }
        }
        panic!("G15: the world does not come to rest");
    }

    fn timers(&mut self) -> bool {
        let mut any = false;
        for who in self.everyone() {
            let now = self.now;
            let acks = self.settings.acks;
            let Some(peer) = self.peer(who) else { continue };
            let due = peer.wait.flatten().is_some_and(|at| at <= now);
            if !due || peer.is_stopped(now).is_some() {
                continue;
            }
            peer.note_spin(now);
            let (attached, side) = (peer.machine.attached(), peer.side);
            // A link that is dead and buried here still has figures there.
            let sample = attached.map(|id| {
                let link = self.links.get_mut(&id);
                let (sent, received) = link
                    .map_or((0, 0), |link| (link.towards(side.other()).arrived, link.towards(side).arrived));
                let acks_received = if acks { sent } else { 0 };
                LinkSample {
                    rtt: Duration::from_millis(20),
                    acks_received,
                    datagrams_received: received,
                    datagrams_sent: 0,
                }
            });
            let Some(peer) = self.peer(who) else { continue };
            if let (Some(link), Some(sample)) = (attached, sample) {
                peer.machine.handle_link_sample(link, sample, now);
            }
            peer.machine.handle_timeout(now);
            peer.wait = None;
            any = true;
        }
        any
    }

    fn finish_stores(&mut self) -> bool {
        let mut any = false;
        for who in self.everyone() {
            let now = self.now;
            let mut model = std::mem::take(&mut self.model);
            if let Some(peer) = self.peer(who).filter(|peer| peer.is_stopped(now).is_none()) {
                any |= store_due(peer, &mut model, now);
            }
            self.model = model;
        }
        any
    }

    // ---- machines ----

    fn poll_everyone(&mut self) -> bool {
        let now = self.now;
        let mut any = false;
        for who in self.everyone() {
            if self.peer(who).is_some_and(|peer| peer.wait.is_none() && peer.is_stopped(now).is_none()) {
                self.poll(who);
                any = true;
            }
        }
        any
    }

    fn poll(&mut self, who: Who) {
        let now = self.now;
        for _ in 0..20_000 {
            let Some(peer) = self.peer(who) else { return };
            let output = peer.machine.poll_output(now);
            if let Output::Wait(until) = output {
                assert!(!peer.machine.needs_poll(now), "needs_poll after Wait: {:?}", peer.machine);
                peer.wait = Some(until);
                self.flush(who);
                self.give_room(who);
                return;
            }
            if self.trace {
                println!("{:?} {who:?} {output:?}", now - epoch());
            }
            self.obey(who, output);
        }
        panic!("G15: a machine's outputs do not end");
    }

    fn obey(&mut self, who: Who, output: Output) {
        let now = self.now;
        let losses = self.model.losses;
        match output {
            // What they do, the network of this test does not do to anybody.
            Output::Probe { .. } | Output::Rebind { .. } => {}
            Output::Measure { silence, .. } => self.probes.push(silence),
            Output::StopMeasuring { from } => self.probes.retain(|silence| *silence < from),
            Output::Learned(_, lifetime) => self.learned = Some(lifetime),
            Output::Transmit { link, frame, .. } => {
                self.with(who, |peer, model, now| {
                    if let Some((channel, sequence)) = name_of(&frame) {
                        model.written(peer.name(peer.machine.epoch(), channel, sequence), now);
                    }
                });
                if let Some(peer) = self.peer(who) {
                    peer.check_durable(&frame);
                    peer.frames.push(name(&frame));
                    if matches!(frame, Frame::Control(Control::Hello(_) | Control::Welcome(_))) {
                        peer.hearing = losses;
                    }
                }
                self.transmit(who, link, frame);
            }
            Output::Abandon { link, channel, sequence } => self.abandon(who, link, channel, sequence),
            Output::CloseLink { link, code, reason } => self.close_link(who, link, code, reason),
            Output::Dial { timeout, .. } => self.start_dial(timeout),
            Output::AbortDial => self.abort_dial(),
            Output::Journal(batch) => {
                let (low, high) = self.settings.store_ms;
                let at = now + Duration::from_millis(self.rng.range(low, high));
                let store = self.peer(who).and_then(|peer| peer.store.as_mut());
                store.expect("only a machine with a journal writes one").put(at, batch);
            }
            Output::Event(event) => self.note(who, event),
            Output::Wake(_) => {}
            Output::Wait(_) => unreachable!("handled by the caller"),
        }
    }

    fn note(&mut self, who: Who, event: Event) {
        let tally = &mut self.tally;
        match &event {
            Event::Reset { .. } => tally.resets += 1,
            Event::Resumed { .. } => tally.resumes += 1,
            Event::Suspect => tally.suspected += 1,
            Event::Recovered => tally.recovered += 1,
            Event::GaveUp => tally.gave_up += 1,
            Event::Closed(_) => tally.closed += 1,
            _ => {}
        }
        let now = self.now;
        if let (Event::Closed(reason), Who::Acceptor(session)) = (&event, who) {
            self.tally.expired += u64::from(reason.code == CloseCode::Expired);
            // What ended here is forgotten, at once or with the memory of its end; the dialer may not have heard of it.
            self.model.losses += 1;
            self.admission.remove(session, Some(reason.clone()), now);
        }
        if let Some(peer) = self.peer(who) {
            if matches!(event, Event::Connected | Event::Resumed { .. } | Event::Reset { .. }) {
                peer.heard = peer.hearing;
            }
            if matches!(event, Event::Closed(_)) {
                // The session is over: its store is deleted.
                peer.receipts.retain(|receipt| receipt.id.session == peer.machine.session());
            }
            peer.events.push(event);
        }
    }

    // ---- what is to be asked of a run ----

    /// Everything that must hold at any moment.
    pub(crate) fn check(&mut self) {
        let doubt = self.model.losses > 0 || self.model.lied;
        for who in self.everyone() {
            self.with(who, |peer, model, now| {
                peer.check_limits(doubt, now);
                peer.check_transfers(model);
                peer.check_receipts(model, now);
            });
        }
    }
}

pub(crate) fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Data(_) => "Data",
        Frame::Body(_) => "Body",
        Frame::Heartbeat(_) => "Heartbeat",
        Frame::Control(control) => match control {
            Control::Hello(_) => "Hello",
            Control::Welcome(_) => "Welcome",
            Control::Confirm(_) => "Confirm",
            Control::Retry(_) => "Retry",
            Control::Refuse(_) => "Refuse",
            Control::Sending(_) => "Sending",
            Control::Receiving(_) => "Receiving",
            Control::Close(_) => "Close",
            Control::CloseAck => "CloseAck",
            Control::Probe(_) => "Probe",
            Control::ProbeAnswer => "ProbeAnswer",
            Control::AddressSeen(_) => "AddressSeen",
            Control::Presence { .. } => "Presence",
        },
    }
}

fn store_due(peer: &mut Peer, model: &mut Model, now: Instant) -> bool {
    let session = peer.machine.session();
    let Some(store) = peer.store.as_mut() else { return false };
    if store.queue.front().is_none_or(|(at, _)| *at > now) {
        return false;
    }
    let Some((_, batch)) = store.queue.pop_front() else { return false };
    let mut epoch = store.snapshot.peer_epoch;
    for record in &batch.records {
        if let bowline::protocol::journal::Record::PeerEpoch(new) = record {
            epoch = Some(*new);
        }
        if let Some(epoch) = epoch {
            model.durable(record, |channel, sequence| bowline::id::MessageId {
                session,
                epoch,
                channel,
                sequence,
            });
        }
    }
    store.snapshot.apply(&batch);
    store.durable = batch.number;
    peer.machine.handle_journaled(batch.number, now);
    peer.wait = None;
    store.history.push(batch);
    true
}

/// A process that dials a new session.
pub(crate) fn new_dialer(settings: &Settings, rng: &mut Rng, now: Instant) -> Peer {
    let mut id = [0; 16];
    id.copy_from_slice(&rng.bytes()[..16]);
    let setup =
        setup(settings, Side::Dialer, SessionId::from_bytes(id), Secret(rng.bytes()), rng, ms_of(now));
    let store = settings.stores[0].then(Store::default);
    let mut peer = Peer::new(Side::Dialer, Machine::new(setup.clone(), now), setup, store, now);
    peer.other_journals = settings.stores[1];
    peer
}
