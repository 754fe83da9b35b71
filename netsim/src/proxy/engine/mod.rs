//! The proxy without its sockets: packets in, packets out, and `now` as an argument.
//!
//! | file | what it holds |
//! |---|---|
//! | `network` | what happens to the network: scenarios and their steps, rebinding, expiry |

mod network;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::event::Event;
use super::figures::{Playing, Status};
use super::mappings::{MappingId, Mappings};
use super::nats::Nats;
use super::way::Way;
use super::{Options, Side};
use crate::link::{Conditions, Exit};
use crate::packet::{Ecn, Packet};
use crate::scenario::{Planned, Scenario};
use crate::time::Time;
use crate::values::BadValue;
use crate::world::Direction;

/// All clients share one link and the NATs behind it, as the devices of one home do.
#[derive(Debug)]
pub(super) struct Engine {
    options: Options,
    server: SocketAddr,
    up: Way,
    down: Way,
    nats: Nats,
    mappings: Mappings,
    scenario: Option<Stage>,
    /// What the scenario has in store, in order.
    plan: VecDeque<(Time, Planned)>,
    /// The clients are in no network.
    away: bool,
    /// What entered before is of another network.
    arrived: Time,
    rebinds: u64,
    expiries: u64,
    /// What was said already, until there is room again.
    said_mappings_full: bool,
    said_queue_full: bool,
    now: Time,
    outputs: VecDeque<Output>,
    events: Vec<Event>,
}

/// A scenario that plays.
#[derive(Debug)]
struct Stage {
    scenario: Scenario,
    began: Time,
    ended: bool,
}

/// What the proxy has to do.
#[derive(Debug)]
pub(super) enum Output {
    /// Send this to the server, from the socket of this mapping.
    ToServer { mapping: MappingId, client: SocketAddr, datagram: Datagram },
    /// Send this to the client, from that address if there is one.
    ToClient { client: SocketAddr, source: Option<IpAddr>, datagram: Datagram },
    /// Close the socket of this mapping.
    Close(MappingId),
}

#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) entered: Time,
    pub(super) ecn: Ecn,
    pub(super) payload: Bytes,
}

/// What happens next inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Step,
    ScenarioEnd,
    Unblock(Direction),
    Expiry,
    Exit(Direction),
}

impl Engine {
    pub(super) fn new(server: SocketAddr, options: Options) -> Result<Self, BadValue> {
        let seed = options.seed;
        let scenario = options.scenario.clone();
        let mut engine = Self {
            server,
            up: Way::new(Direction::Up, seed),
            down: Way::new(Direction::Down, seed),
            nats: Nats::new(seed, &[])?,
            mappings: Mappings::new(options.max_mappings),
            options,
            scenario: None,
            plan: VecDeque::new(),
            away: false,
            arrived: Time::ZERO,
            rebinds: 0,
            expiries: 0,
            said_mappings_full: false,
            said_queue_full: false,
            now: Time::ZERO,
            outputs: VecDeque::new(),
            events: Vec::new(),
        };
        if let Some(scenario) = scenario {
            engine.play(Time::ZERO, scenario)?;
            // Nobody can have asked yet what happens.
            engine.events.clear();
        }
        Ok(engine)
    }

    /// A client has sent this to one of our addresses.
    pub(super) fn client_sent(
        &mut self,
        now: Time,
        client: SocketAddr,
        to: SocketAddr,
        ecn: Ecn,
        payload: Bytes,
    ) {
        self.advance(now);
        self.up.meter.packets_in += 1;
        self.up.meter.bytes_in += payload.len() as u64;
        if self.away {
            self.up.meter.dropped.network_gone += 1;
        } else if self.has_room(Direction::Up) {
            self.up.push(now, Packet { ecn, ..Packet::new(client, to, payload) });
        }
    }

    /// The server has sent this to the socket of this mapping.
    pub(super) fn server_sent(&mut self, now: Time, id: MappingId, ecn: Ecn, payload: Bytes) {
        self.advance(now);
        self.down.meter.packets_in += 1;
        self.down.meter.bytes_in += payload.len() as u64;
        // A dead mapping hears in vain, though the NAT may have given what it once had to another one.
        let known = self.mappings.mapping(id).filter(|mapping| mapping.alive);
        let Some(mapping) = known else {
            self.down.meter.dropped.nat_unmapped += 1;
            return;
        };
        let packet = Packet { ecn, ..Packet::new(self.server, mapping.outside, payload) };
        match self.nats.inbound(now, packet) {
            Ok(packet) if self.has_room(Direction::Down) => self.down.push(now, packet),
            Ok(_) => {}
            Err(fate) => self.down.meter.dropped.count(fate),
        }
    }

    /// What there is to do by now. Ask until there is nothing more.
    pub(super) fn pop(&mut self, now: Time) -> Option<Output> {
        self.advance(now);
        self.outputs.pop_front()
    }

    /// When there is something to do, as far as is known; sooner if something comes in.
    pub(super) fn next_wakeup(&self) -> Option<Time> {
        if self.outputs.is_empty() { self.next_due().map(|(at, _)| at) } else { Some(self.now) }
    }

    /// What has happened since this was last asked.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The operating system took a packet of this direction.
    pub(super) fn sent(&mut self, direction: Direction, entered: Time, now: Time, bytes: usize) {
        self.way(direction).meter.sent(entered, now, bytes);
    }

    /// The operating system did not take it.
    pub(super) fn unsent(&mut self, direction: Direction) {
        self.way(direction).meter.dropped.unsent += 1;
    }

    /// Changes the conditions.
    pub(super) fn set(&mut self, now: Time, side: Side, change: &Conditions) -> Result<(), BadValue> {
        self.advance(now);
        for direction in side.directions() {
            self.way(*direction).check(change)?;
        }
        self.on(side, |way, events| way.change(now, change.clone(), events));
        Ok(())
    }

    /// Blocks for this long, or until it is unblocked.
    pub(super) fn block(&mut self, now: Time, side: Side, length: Option<Duration>) {
        self.advance(now);
        self.on(side, |way, events| way.block(now, length.map(|length| now + length), events));
    }

    pub(super) fn unblock(&mut self, now: Time, side: Side) {
        self.advance(now);
        self.on(side, |way, events| way.unblock(now, events));
    }

    pub(super) fn status(&mut self, now: Time) -> Status {
        self.advance(now);
        Status {
            uptime: now.since_start(),
            scenario: self.scenario.as_ref().map(|stage| Playing {
                name: stage.scenario.name().into(),
                at: now - stage.began,
                duration: stage.scenario.duration(),
            }),
            seed: self.options.seed,
            mappings: self.mappings.alive(),
            mappings_made: self.mappings.made(),
            rebinds: self.rebinds,
            expiries: self.expiries,
            up: self.up.traffic(),
            down: self.down.traffic(),
        }
    }

    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    fn on(&mut self, side: Side, mut act: impl FnMut(&mut Way, &mut Vec<Event>)) {
        for direction in side.directions() {
            let way = match direction {
                Direction::Up => &mut self.up,
                Direction::Down => &mut self.down,
            };
            act(way, &mut self.events);
        }
    }

    /// Whether one more packet may wait inside; if not, it is counted and gone.
    fn has_room(&mut self, direction: Direction) -> bool {
        let limit_bytes = self.options.max_queued_bytes;
        if self.up.held_bytes() + self.down.held_bytes() < limit_bytes {
            self.said_queue_full = false;
            return true;
        }
        self.way(direction).meter.dropped.proxy_full += 1;
        if !std::mem::replace(&mut self.said_queue_full, true) {
            self.events.push(Event::QueueFull { limit_bytes });
        }
        false
    }

    /// Lets everything happen that is due by now, each at its own moment.
    fn advance(&mut self, now: Time) {
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= now) {
            let at = at.max(self.now);
            self.now = at;
            match due {
                Due::Step => {
                    if let Some((_, planned)) = self.plan.pop_front() {
                        self.step(at, planned);
                    }
                }
                Due::ScenarioEnd => self.end_scenario(),
                Due::Unblock(direction) => {
                    self.on(direction.into(), |way, events| way.end_block(at, events));
                }
                Due::Exit(direction) => {
                    if let Some(exit) = self.way(direction).pop(at).filter(|exit| exit.fate.arrives()) {
                        match direction {
                            Direction::Up => self.leave_up(exit),
                            Direction::Down => self.leave_down(exit),
                        }
                    }
                }
                Due::Expiry => self.look_for_expiry(at),
            }
        }
        self.now = self.now.max(now);
    }

    /// What happens next; at the same moment, the network changes before packets move.
    fn next_due(&self) -> Option<(Time, Due)> {
        let stage = self.scenario.as_ref().filter(|stage| !stage.ended);
        let end = stage.map(|stage| stage.began + stage.scenario.duration());
        let due = |at: Option<Time>, due| at.map(|at| (at, due));
        [
            due(self.plan.front().map(|(at, _)| *at), Due::Step),
            due(end, Due::ScenarioEnd),
            due(self.up.next_unblock(), Due::Unblock(Direction::Up)),
            due(self.down.next_unblock(), Due::Unblock(Direction::Down)),
            due(self.up.next_wakeup(), Due::Exit(Direction::Up)),
            due(self.down.next_wakeup(), Due::Exit(Direction::Down)),
            due(self.mappings.next_due(), Due::Expiry),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// A packet has come to the NAT on its way to the server.
    fn leave_up(&mut self, exit: Exit) {
        let Exit { at, entered, packet, .. } = exit;
        let (client, to) = (packet.from, packet.to);
        let known = self.mappings.of_client(client).map(|(id, _)| id);
        if known.is_none() && !self.make_room() {
            self.up.meter.dropped.mappings_full += 1;
            return;
        }
        let packet = match self.nats.outbound(at, Packet { to: self.server, ..packet }) {
            Ok(packet) => packet,
            Err(fate) => return self.up.meter.dropped.count(fate),
        };
        let mapping = known.unwrap_or_else(|| {
            let local = Some(to.ip()).filter(|local| !local.is_unspecified());
            let until = self.nats.mapped_until(at, client, self.server).unwrap_or(at);
            self.mappings.insert(client, local, packet.from, until)
        });
        let datagram = Datagram { entered, ecn: packet.ecn, payload: packet.payload };
        self.outputs.push_back(Output::ToServer { mapping, client, datagram });
    }

    /// A packet has come to the clients' end of the link.
    fn leave_down(&mut self, exit: Exit) {
        let Exit { entered, packet, .. } = exit;
        if self.away || entered < self.arrived {
            self.down.meter.dropped.network_gone += 1;
            return;
        }
        let source = self.mappings.local_of(packet.to);
        let datagram = Datagram { entered, ecn: packet.ecn, payload: packet.payload };
        self.outputs.push_back(Output::ToClient { client: packet.to, source, datagram });
    }

    /// Whether there may be one more mapping; the socket of a dead one is closed if that is what it takes.
    fn make_room(&mut self) -> bool {
        if !self.mappings.full() {
            self.said_mappings_full = false;
            return true;
        }
        if let Some((id, client)) = self.mappings.remove_dead() {
            self.outputs.push_back(Output::Close(id));
            client.into_iter().for_each(|client| self.nats.forget_client(client));
            return true;
        }
        if !std::mem::replace(&mut self.said_mappings_full, true) {
            self.events.push(Event::MappingsFull { limit: self.options.max_mappings });
        }
        false
    }
}
