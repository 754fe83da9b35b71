//! Everything that leaves on unidirectional streams, and whose turn it is.
//!
//! What is more important goes first. Of equals each has its turn of [`QUANTUM`] bytes at most, so that when quinn takes a
//! little more, it is not always from the one that has the most.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::task::Context;
use std::time::Instant;

use quinn::Connection;

use super::lane::{Lane, Parcels, Pieces};
use super::outflow::{Opener, Progress};
use super::window::SendWindow;
use crate::id::{ChannelId, Sequence};
use crate::wire::{Body, Data, WireError};

/// Bytes that one may write before the next one of the same rank has its turn.
const QUANTUM: usize = 16 * 1024;

/// The connection is gone.
pub(super) struct Lost;

/// See the module.
pub(super) struct Streams {
    connection: Connection,
    opener: Opener,
    lanes: BTreeMap<ChannelId, Lane>,
    parcels: BTreeMap<ChannelId, Parcels>,
    bodies: BTreeMap<(ChannelId, Sequence), Pieces>,
    /// Those with something to write, by rank, the next one first.
    turns: BTreeMap<Reverse<i32>, VecDeque<Flow>>,
    polls: u64,
}

/// One of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Lane(ChannelId),
    Parcels(ChannelId),
    Body(ChannelId, Sequence),
}

impl Flow {
    fn is_body(self) -> bool {
        matches!(self, Self::Body(..))
    }
}

impl Streams {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            opener: Opener::new(connection.clone()),
            connection,
            lanes: BTreeMap::new(),
            parcels: BTreeMap::new(),
            bodies: BTreeMap::new(),
            turns: BTreeMap::new(),
            polls: 0,
        }
    }

    /// Adds a message to the stream of its lane.
    pub(super) fn push_lane(&mut self, data: Data, priority: i8) -> Result<(), WireError> {
        let (channel, rank) = (data.channel, rank_of_messages(priority));
        let lane = self.lanes.entry(channel).or_insert_with(|| Lane::new(&data, rank));
        let was_idle = lane.outflow.is_idle();
        lane.outflow.set_priority(rank);
        lane.push(data)?;
        if was_idle {
            self.take_turn(rank, Flow::Lane(channel));
        }
        Ok(())
    }

    /// Adds a message that goes alone, or with the few small ones before it.
    pub(super) fn push_parcel(&mut self, data: Data, priority: i8) -> Result<(), WireError> {
        let (channel, rank) = (data.channel, rank_of_messages(priority));
        let parcels = self.parcels.entry(channel).or_default();
        let was_idle = parcels.outflows.is_empty();
        parcels.push(data, rank)?;
        if was_idle {
            self.take_turn(rank, Flow::Parcels(channel));
        }
        Ok(())
    }

    /// Adds a piece of a large message.
    pub(super) fn push_body(&mut self, body: Body, priority: i8) -> Result<(), WireError> {
        let (channel, sequence, rank) = (body.channel, body.sequence, rank_of_bodies(priority));
        let pieces = self.bodies.entry((channel, sequence)).or_insert_with(|| Pieces::new(rank));
        let was_idle = pieces.outflow.is_idle();
        pieces.outflow.set_priority(rank);
        pieces.push(body)?;
        if was_idle {
            self.take_turn(rank, Flow::Body(channel, sequence));
        }
        Ok(())
    }

    /// Breaks off a large message, and yields the room of what was not written.
    pub(super) fn abandon(&mut self, channel: ChannelId, sequence: Sequence) -> usize {
        self.bodies.remove(&(channel, sequence)).map_or(0, |pieces| pieces.outflow.reset())
    }

    fn take_turn(&mut self, rank: i32, flow: Flow) {
        self.turns.entry(Reverse(rank)).or_default().push_back(flow);
    }

    /// Writes what quinn takes. Yields the room that this makes.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        window: &mut SendWindow,
        now: Instant,
    ) -> Result<usize, Lost> {
        let mut freed = 0;
        let mut reserve_opened = false;
        self.polls += 1;
        self.opener.begin_turn();
        let mut later = VecDeque::new();
        for (rank, mut flows) in std::mem::take(&mut self.turns) {
            // Who got nothing comes first the next time.
            let (mut without, mut with) = (VecDeque::new(), VecDeque::new());
            while let Some(flow) = flows.pop_front() {
                let before = freed;
                let limit = if flows.is_empty() { usize::MAX } else { QUANTUM };
                let mut progress = self.poll_flow(flow, cx, limit, &mut freed);
                if progress == Progress::Blocked && window.refresh(&self.connection, now) {
                    progress = self.poll_flow(flow, cx, limit, &mut freed);
                }
                if progress == Progress::Blocked && !flow.is_body() && window.lets_pass(now) {
                    reserve_opened |= window.set_reserve(&self.connection, true);
                    progress = self.poll_flow(flow, cx, limit, &mut freed);
                }
                match progress {
                    Progress::Idle | Progress::Finished => {}
                    Progress::TurnOver => flows.push_back(flow),
                    Progress::NeedsStream => {
                        self.finish_idlest();
                        without.push_back(flow);
                    }
                    Progress::Blocked if freed == before => without.push_back(flow),
                    Progress::Blocked => with.push_back(flow),
                    Progress::Lost => return Err(Lost),
                }
            }
            without.append(&mut with);
            later.push_back((rank, without));
        }
        if reserve_opened {
            window.set_reserve(&self.connection, false);
        }
        self.turns = later.into_iter().filter(|(_, flows)| !flows.is_empty()).collect();
        Ok(freed)
    }

    fn poll_flow(
        &mut self,
        flow: Flow,
        cx: &mut Context<'_>,
        mut limit: usize,
        freed: &mut usize,
    ) -> Progress {
        let opener = &mut self.opener;
        match flow {
            Flow::Lane(channel) => {
                let Some(lane) = self.lanes.get_mut(&channel) else { return Progress::Finished };
                lane.used = self.polls;
                lane.outflow.poll(cx, opener, &mut limit, freed)
            }
            Flow::Parcels(channel) => {
                let Some(parcels) = self.parcels.get_mut(&channel) else { return Progress::Finished };
                while let Some(outflow) = parcels.front() {
                    match outflow.poll(cx, opener, &mut limit, freed) {
                        Progress::Finished => drop(parcels.outflows.pop_front()),
                        progress => return progress,
                    }
                }
                self.parcels.remove(&channel);
                Progress::Finished
            }
            Flow::Body(channel, sequence) => {
                let Some(pieces) = self.bodies.get_mut(&(channel, sequence)) else {
                    return Progress::Finished;
                };
                let progress = pieces.outflow.poll(cx, opener, &mut limit, freed);
                if progress == Progress::Finished {
                    self.bodies.remove(&(channel, sequence));
                }
                progress
            }
        }
    }

    /// Finishes the stream that was idle for longest, so that the peer permits another one (rule C3). Its channel opens
    /// a new one when it has something to send again.
    fn finish_idlest(&mut self) {
        let idle = self.lanes.iter().filter(|(_, lane)| lane.outflow.is_open() && lane.outflow.is_idle());
        let idlest = idle.min_by_key(|(_, lane)| lane.used).map(|(channel, _)| *channel);
        if let Some(mut lane) = idlest.and_then(|channel| self.lanes.remove(&channel)) {
            lane.outflow.finish();
        }
    }
}

/// As quinn counts priorities: of one channel, messages go before the pieces of large ones.
fn rank_of_messages(priority: i8) -> i32 {
    2 * i32::from(priority)
}

fn rank_of_bodies(priority: i8) -> i32 {
    2 * i32::from(priority) - 1
}

#[cfg(test)]
mod tests;
