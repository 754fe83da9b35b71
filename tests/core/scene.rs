//! What directed tests have in common: two connected peers, and short words for what they do.

use std::time::Duration;

use bowline::config::Delivery;
use bowline::error::{ExtendError, Outcome};
use bowline::id::{ChannelId, Epoch, MessageId};
use bowline::protocol::proof::prove;
use bowline::protocol::types::{ChannelStats, Event, LinkId, Progress};
use bowline::wire::{Hello, ReceivingLane, VERSION};

use crate::link::Side;
use crate::peer::Life;
use crate::plan::payload;
use crate::world::{Settings, Shape, World};

pub(crate) const BOTH: [Side; 2] = [Side::Dialer, Side::Acceptor];

pub(crate) fn ms(length: u64) -> Duration {
    Duration::from_millis(length)
}

pub(crate) fn secs(length: u64) -> Duration {
    Duration::from_secs(length)
}

/// Both sides have a store in which a batch becomes durable after this long.
pub(crate) fn stored(after_ms: u64) -> Settings {
    Settings { stores: [true, true], store_ms: (after_ms, after_ms), ..Settings::default() }
}

/// The same, each side sending in this mode.
pub(crate) fn in_mode(delivery: Delivery) -> Shape {
    Shape { delivery, expect: delivery, ..Shape::plain() }
}

/// Two peers, connected, with "chat" open on both sides like this.
pub(crate) fn connected_as(settings: Settings, shape: &Shape) -> World {
    let mut world = connected(settings, &[]);
    BOTH.into_iter().for_each(|side| world.open(side, "chat", shape));
    world.run(secs(1));
    world
}

/// Two peers, connected, with these labels open on both sides.
pub(crate) fn connected(settings: Settings, labels: &[&str]) -> World {
    let mut world = World::new(settings, 1);
    for label in labels {
        world.open_plainly(Side::Dialer, label);
    }
    world.run(secs(3));
    for label in labels {
        world.open_plainly(Side::Acceptor, label);
    }
    world.run(secs(1));
    assert_eq!(world.events(Side::Dialer), [Event::Connected]);
    assert_eq!(world.events(Side::Acceptor), [Event::Connected]);
    world
}

impl World {
    pub(crate) fn open_plainly(&mut self, side: Side, label: &str) {
        self.open(side, label, &Shape::plain());
    }

    pub(crate) fn open_redelivering(&mut self, side: Side, label: &str) {
        self.open(side, label, &Shape { redeliver: true, ..Shape::plain() });
    }

    pub(crate) fn say(&mut self, side: Side, label: &str, size: usize) -> MessageId {
        let payload = payload(self, size);
        self.with(self.on(side), |peer, model, now| peer.send(label, payload, Life::Channel, model, now))
            .expect("a peer")
            .expect("room")
    }

    /// The same, for so many milliseconds.
    pub(crate) fn say_for(&mut self, side: Side, label: &str, size: usize, life: u64) -> MessageId {
        let payload = payload(self, size);
        let life = Life::Ms(life);
        self.with(self.on(side), |peer, model, now| peer.send(label, payload, life, model, now))
            .expect("a peer")
            .expect("room")
    }

    pub(crate) fn cancel(&mut self, side: Side, id: MessageId) -> bool {
        self.with(self.on(side), |peer, model, now| {
            let key = peer.channels["chat"].key;
            let cancelled = peer.machine.cancel(key, id.epoch, id.sequence, now);
            if cancelled {
                model.cancelled(id);
            }
            cancelled
        })
        .expect("a peer")
    }

    pub(crate) fn extend(&mut self, side: Side, id: MessageId, life: Option<u64>) -> Result<(), ExtendError> {
        self.with(self.on(side), |peer, model, now| {
            let (key, life) = (peer.channels["chat"].key, life.map(ms));
            let extended = peer.machine.extend_deadline(key, id.epoch, id.sequence, life, now);
            if extended.is_ok() {
                model.extended(id, life.map(|life| now + life));
            }
            extended
        })
        .expect("a peer")
    }

    pub(crate) fn outcome(&mut self, side: Side, id: MessageId) -> Option<Outcome> {
        match self.progress(side, id) {
            Progress::Resolved(outcome) => Some(outcome),
            _ => None,
        }
    }

    pub(crate) fn stats(&mut self, side: Side, label: &str) -> ChannelStats {
        self.with(self.on(side), |peer, _, now| peer.machine.channel_stats(peer.channels[label].key, now))
            .flatten()
            .expect("a channel")
    }

    pub(crate) fn hear(&mut self, side: Side, label: &str) -> Vec<u64> {
        let got = self.with(self.on(side), |peer, model, now| peer.recv(label, u64::MAX, model, now));
        got.expect("a peer").iter().map(|id| id.sequence).collect()
    }

    pub(crate) fn take(&mut self, side: Side, label: &str) -> u64 {
        self.with(self.on(side), |peer, model, now| peer.take(label, u64::MAX, model, now)).expect("a peer")
    }

    pub(crate) fn settle_taken(&mut self, side: Side, label: &str, how: u64) {
        while self.with(self.on(side), |peer, model, now| peer.settle(label, 0, how, model, now))
            == Some(true)
        {}
    }

    pub(crate) fn finish(&mut self, side: Side, label: &str) {
        self.with(self.on(side), |peer, _, _| peer.machine.finish(peer.channels[label].key));
    }

    pub(crate) fn refuse(&mut self, side: Side, label: &str) {
        self.with(self.on(side), |peer, _, now| {
            peer.machine.refuse(peer.channels[label].key, "no more", now)
        });
    }

    pub(crate) fn progress(&mut self, side: Side, id: MessageId) -> Progress {
        self.with(self.on(side), |peer, model, now| {
            peer.check_receipts(model, now);
            let receipt = peer.receipts.iter().find(|receipt| receipt.id == id).expect("it was sent here");
            peer.machine.progress(receipt.key, id.epoch, id.sequence)
        })
        .expect("a peer")
    }

    pub(crate) fn events(&mut self, side: Side) -> Vec<Event> {
        self.with(self.on(side), |peer, _, _| peer.events.clone()).unwrap_or_default()
    }

    /// Forgets what has happened so far.
    pub(crate) fn forget_events(&mut self) {
        for side in BOTH {
            self.with(self.on(side), |peer, _, _| (peer.events.clear(), peer.frames.clear()));
        }
    }

    pub(crate) fn is_channel_there(&mut self, side: Side, label: &str) -> bool {
        let is_there = |peer: &crate::peer::Peer| {
            peer.channels.get(label).is_some_and(|open| peer.machine.channel_label(open.key).is_some())
        };
        self.with(self.on(side), |peer, _, _| is_there(peer)).unwrap_or_default()
    }

    /// Labels that the acceptor's application learns of.
    pub(crate) fn incoming(&mut self) -> Vec<String> {
        let next = |peer: &mut crate::peer::Peer| peer.machine.next_incoming().map(|(label, _)| label);
        std::iter::from_fn(|| self.with(self.on(Side::Acceptor), |peer, _, _| next(peer)).flatten()).collect()
    }

    /// The connection is lost, and both sides notice.
    pub(crate) fn cut_now(&mut self) {
        self.cut_all([Some(ms(0)), Some(ms(0))]);
    }
}

/// A Hello of whoever has the dialer's session and its secret.
pub(crate) fn hello_of(world: &World, link: LinkId, counter: u64, epoch: Epoch) -> Hello {
    let setup = &world.dialer.setup;
    Hello {
        version_min: VERSION,
        version_max: VERSION,
        session: setup.session,
        secret: None,
        epoch,
        peer_epoch: None,
        counter,
        proof: prove(&setup.secret, &world.links[&link].exporter, counter),
        limits: setup.limits,
        credentials: "".into(),
    }
}

/// What a receiver says of the first channel when nothing has come, with a window of so many messages and bytes, and for large ones.
pub(crate) fn nothing_received(
    (window_messages, window_bytes, window_large): (u64, u64, u64),
) -> ReceivingLane {
    ReceivingLane {
        channel: ChannelId(0),
        received_below: 0,
        received: Vec::new(),
        handled_below: 0,
        handled: Vec::new(),
        verdicts: Vec::new(),
        window_messages,
        window_bytes,
        window_large,
        partial: Vec::new(),
        refused: None,
        ended: false,
    }
}
