//! One direction through the proxy: its link, who blocks it, and its figures.

use super::event::{Event, millis};
use super::figures::{Meter, Traffic};
use crate::link::{Conditions, Exit, Pipe};
use crate::packet::Packet;
use crate::time::Time;
use crate::values::BadValue;
use crate::world::Direction;

/// What a packet costs beside its own bytes, about.
const PACKET_OVERHEAD_BYTES: u64 = 256;

#[derive(Debug)]
pub(super) struct Way {
    direction: Direction,
    pipe: Pipe,
    pub(super) meter: Meter,
    /// The scenario blocks it.
    scenario_blocks: bool,
    /// A command blocks it, whatever the scenario says.
    command_blocks: Option<Until>,
}

/// How long a command blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Unblocked,
    Moment(Time),
}

impl Way {
    pub(super) fn new(direction: Direction, seed: u64) -> Self {
        // The names that a `World` gives a client's first link, so that the luck is the same.
        let name = match direction {
            Direction::Up => "client.0.up",
            Direction::Down => "client.0.down",
        };
        let pipe = Pipe::new(name, seed, &Conditions::new()).expect("a perfect link is possible");
        // The figures count; a record of every lost packet would grow as long as the proxy runs.
        let pipe = pipe.without_memory();
        Self { direction, pipe, meter: Meter::new(), scenario_blocks: false, command_blocks: None }
    }

    pub(super) fn push(&mut self, now: Time, packet: Packet) {
        self.pipe.push(now, packet);
    }

    pub(super) fn pop(&mut self, now: Time) -> Option<Exit> {
        self.pipe.pop(now)
    }

    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.pipe.next_wakeup()
    }

    /// When the block of a command ends by itself.
    pub(super) fn next_unblock(&self) -> Option<Time> {
        match self.command_blocks {
            Some(Until::Moment(at)) => Some(at),
            _ => None,
        }
    }

    /// The memory that the packets on their way take, about.
    pub(super) fn held_bytes(&self) -> u64 {
        let held = self.pipe.held();
        held.bytes + held.packets * PACKET_OVERHEAD_BYTES
    }

    pub(super) fn traffic(&self) -> Traffic {
        let conditions = self.pipe.conditions().clone();
        self.meter.traffic(self.pipe.counts(), conditions, self.blocked(), self.pipe.held().packets)
    }

    fn blocked(&self) -> bool {
        self.scenario_blocks || self.command_blocks.is_some()
    }

    /// Whether the link would be possible after this change.
    pub(super) fn check(&self, change: &Conditions) -> Result<(), BadValue> {
        self.pipe.conditions().clone().and(change).check()
    }

    /// The conditions change, by the scenario or by a command; both may be overruled by the next one.
    pub(super) fn change(&mut self, now: Time, mut change: Conditions, events: &mut Vec<Event>) {
        let was_blocked = self.blocked();
        if let Some(block) = change.take_block() {
            self.scenario_blocks = block;
        }
        if !change.is_empty() {
            let event = Event::Conditions { direction: self.direction, change: Box::new(change.clone()) };
            events.push(event);
        }
        self.impose(now, change, was_blocked, events);
    }

    /// These conditions and nothing else, without a command's block.
    pub(super) fn replace(&mut self, now: Time, base: &Conditions, events: &mut Vec<Event>) {
        let was_blocked = self.blocked();
        let mut whole = Conditions::perfect().and(base);
        self.command_blocks = None;
        self.scenario_blocks = whole.take_block() == Some(true);
        self.impose(now, whole, was_blocked, events);
    }

    /// A command blocks it until then, or until it is unblocked.
    pub(super) fn block(&mut self, now: Time, until: Option<Time>, events: &mut Vec<Event>) {
        let was_blocked = self.blocked();
        self.command_blocks = Some(until.map_or(Until::Unblocked, Until::Moment));
        self.impose(now, Conditions::new(), was_blocked, events);
    }

    /// The block of a command is over.
    pub(super) fn end_block(&mut self, now: Time, events: &mut Vec<Event>) {
        let was_blocked = self.blocked();
        self.command_blocks = None;
        self.impose(now, Conditions::new(), was_blocked, events);
    }

    /// Nothing blocks it, until a command or the scenario does it again.
    pub(super) fn unblock(&mut self, now: Time, events: &mut Vec<Event>) {
        let was_blocked = self.blocked();
        self.command_blocks = None;
        self.scenario_blocks = false;
        self.impose(now, Conditions::new(), was_blocked, events);
    }

    fn impose(&mut self, now: Time, change: Conditions, was_blocked: bool, events: &mut Vec<Event>) {
        let blocked = self.blocked();
        self.pipe.impose(now, &change.block(blocked));
        let direction = self.direction;
        if blocked && !was_blocked {
            let for_ms = self.next_unblock().map(|end| millis(end - now));
            events.push(Event::Blocked { direction, for_ms });
        } else if was_blocked && !blocked {
            events.push(Event::Unblocked { direction });
        }
    }
}
