//! What happens between the processes: frames move, links die, dials come to something or not.

use std::time::{Duration, Instant};

use bowline::error::CloseCode;
use bowline::id::{ChannelId, MessageId};
use bowline::protocol::types::{LinkEnd, LinkId, LinkInfo, Readiness};
use bowline::wire::{Control, Frame, Retry};
use bytes::Bytes;

use crate::link::{Arrival, Link, Pipe, Side, Sky, Writer};
use crate::peer::Peer;
use crate::world::{Dialing, Who, World};

pub(crate) const DIALER: &[u8] = b"ada";
pub(crate) const ACCEPTOR: &[u8] = b"bob";

impl World {
    // ---- dialing ----

    pub(crate) fn start_dial(&mut self, timeout: Duration) {
        self.tally.dials += 1;
        let took = Duration::from_millis(
            2 * self.rng.range(self.settings.weather.delay_ms.0, self.settings.weather.delay_ms.1),
        );
        let succeeds = self.net_up && took < timeout;
        let at = self.now + if succeeds { took } else { timeout };
        self.dial.clear();
        self.dial.push_back(Dialing { at, succeeds });
    }

    pub(crate) fn abort_dial(&mut self) {
        // A connection may be complete before the news of its abortion.
        if !self.rng.percent(self.settings.late) {
            self.dial.clear();
        }
    }

    pub(crate) fn finish_dial(&mut self) -> bool {
        if self.dial.front().is_none_or(|dial| dial.at > self.now)
            || self.dialer.is_stopped(self.now).is_some()
        {
            return false;
        }
        let Some(dial) = self.dial.pop_front() else { return false };
        let now = self.now;
        if dial.succeeds && self.net_up {
            let link = self.new_link();
            let info = self.info(link, ACCEPTOR);
            self.dialer.machine.handle_link_up(link, info, now);
        } else {
            self.tally.dial_failures += 1;
            self.dialer.machine.handle_dial_failed("no answer", now);
        }
        self.dialer.wait = None;
        true
    }

    /// A connection that nobody has been told of.
    pub(crate) fn new_link(&mut self) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let exporter = self.rng.bytes();
        self.links.insert(id, Link::new(id, exporter));
        id
    }

    pub(crate) fn info(&self, link: LinkId, binding: &[u8]) -> LinkInfo {
        LinkInfo {
            exporter: self.links[&link].exporter,
            binding: binding.to_vec(),
            credentials: Bytes::new(),
        }
    }

    // ---- faults ----

    /// A connection dies. Each side may notice, now, later or never.
    pub(crate) fn cut(&mut self, link: LinkId, keep_percent: u64, notices: [Option<Duration>; 2]) {
        let now = self.now;
        let Some(found) = self.links.get_mut(&link) else { return };
        if found.cut {
            return;
        }
        self.tally.cuts += 1;
        self.tally.frames_lost += found.kill(keep_percent, &mut self.rng);
        for (side, after) in [Side::Dialer, Side::Acceptor].into_iter().zip(notices) {
            found.notice.extend(after.map(|after| (now + after, side)));
        }
    }

    pub(crate) fn cut_all(&mut self, notices: [Option<Duration>; 2]) {
        let all: Vec<LinkId> = self.links.keys().copied().collect();
        all.into_iter().for_each(|link| self.cut(link, 0, notices));
    }

    /// Nothing arrives on the link for a while; then everything does.
    pub(crate) fn silence(&mut self, link: LinkId, length: Duration) {
        let until = self.now + length;
        if let Some(link) = self.links.get_mut(&link) {
            self.tally.silences += 1;
            link.silent_until = Some(until);
        }
    }

    // ---- sending ----

    pub(crate) fn transmit(&mut self, who: Who, id: LinkId, frame: Frame) {
        let side = side_of(who);
        let number = self.sent;
        self.sent += 1;
        if let Frame::Control(Control::Retry(retry)) = &frame {
            match retry {
                Retry::Stale(_) => self.tally.stale += 1,
                Retry::Forgotten => self.tally.forgotten += 1,
            }
        }
        if let Frame::Control(Control::Hello(hello)) = &frame {
            self.last_hello = Some((**hello).clone());
        }
        if self.cut_with == Some(number) {
            let after = Some(Duration::from_millis(30));
            self.cut(id, 50, [after, after]);
        }
        let writer = self.peer(who).map(|peer| Writer {
            session: peer.machine.session(),
            epoch: peer.machine.epoch(),
            born: peer.born,
        });
        self.on_pipe(side, id, |pipe, sky| {
            pipe.writer = writer.or(pipe.writer);
            pipe.send(&frame, sky);
        });
    }

    /// Does something with the direction of a link that this side writes, if it is still there.
    fn on_pipe(&mut self, side: Side, id: LinkId, act: impl FnOnce(&mut Pipe, &mut Sky<'_>)) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.cut) else { return };
        if *link.open(side) {
            let (weather, now) = (self.settings.weather, self.now);
            let mut sky = Sky { weather, now, rng: &mut self.rng, tally: &mut self.tally };
            act(link.towards(side.other()), &mut sky);
        }
    }

    pub(crate) fn abandon(&mut self, who: Who, id: LinkId, channel: ChannelId, sequence: u64) {
        let side = side_of(who);
        self.on_pipe(side, id, |pipe, sky| pipe.abandon(channel, sequence, sky));
    }

    /// A machine has nothing more to say for now: what was to share a datagram leaves.
    pub(crate) fn flush(&mut self, who: Who) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            self.on_pipe(side_of(who), id, Pipe::flush);
        }
    }

    pub(crate) fn close_link(&mut self, who: Who, id: LinkId, code: CloseCode, reason: String) {
        let side = side_of(who);
        self.tally.superseded += u64::from(code == CloseCode::Superseded);
        self.tally.refused_links += u64::from(matches!(code, CloseCode::WrongProof | CloseCode::Busy));
        let late = self.rng.percent(self.settings.late);
        let outruns = self.rng.percent(50);
        let Some(link) = self.links.get_mut(&id) else { return };
        if !std::mem::replace(link.open(side), false) {
            return;
        }
        if late {
            self.tally.late_links += 1;
            self.late.insert((id, side));
        }
        if !link.cut {
            let (weather, now) = (self.settings.weather, self.now);
            let mut sky = Sky { weather, now, rng: &mut self.rng, tally: &mut self.tally };
            link.towards(side.other()).close(code, reason, outruns, &mut sky);
        }
    }

    /// Room for channel data on the link that is attached.
    pub(crate) fn give_room(&mut self, who: Who) {
        let (low, high) = self.settings.room;
        let room = self.rng.range(low, high) as usize;
        let Some(peer) = self.peer(who) else { return };
        let attached = peer.machine.attached();
        if attached != peer.roomy {
            peer.roomy = attached;
            if let Some(link) = attached {
                peer.machine.handle_link_room(link, room);
                peer.wait = None;
            }
        }
    }

    // ---- arriving ----

    pub(crate) fn next_of_link(&self, link: &Link) -> Option<Instant> {
        let held = |side: Side, at: Instant| {
            let stopped = match side {
                Side::Dialer => self.dialer.is_stopped(self.now),
                Side::Acceptor => self
                    .owners
                    .get(&link.id)
                    .and_then(|s| self.acceptors.get(s))
                    .and_then(|p| p.is_stopped(self.now)),
            };
            at.max(link.silent_until.unwrap_or(at)).max(stopped.unwrap_or(at))
        };
        let pipes = [(Side::Dialer, &link.to_dialer), (Side::Acceptor, &link.to_acceptor)];
        let arrivals = pipes.iter().filter_map(|(side, pipe)| Some(held(*side, pipe.next_at()?)));
        let refills =
            pipes.iter().filter_map(|(side, pipe)| Some(held(side.other(), pipe.refill.front()?.0)));
        let notices = link.notice.iter().map(|(at, side)| held(*side, *at));
        arrivals.chain(refills).chain(notices).min()
    }

    pub(crate) fn move_frames(&mut self) -> bool {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        let mut any = false;
        for id in ids {
            for side in [Side::Dialer, Side::Acceptor] {
                any |= self.move_link(id, side);
            }
            if self.links.get(&id).is_some_and(Link::is_idle) {
                self.links.remove(&id);
                self.late.retain(|(link, _)| *link != id);
                self.owners.remove(&id);
            }
        }
        any
    }

    fn is_held(&self, id: LinkId, side: Side) -> bool {
        let owner = if side == Side::Dialer {
            Some(&self.dialer)
        } else {
            self.owners.get(&id).and_then(|s| self.acceptors.get(s))
        };
        owner.is_some_and(|peer| peer.is_stopped(self.now).is_some())
    }

    fn move_link(&mut self, id: LinkId, side: Side) -> bool {
        let now = self.now;
        if self.is_held(id, side) {
            return false;
        }
        let Some(link) = self.links.get_mut(&id) else { return false };
        let mut any = false;
        if let Some(position) = link.notice.iter().position(|(at, of)| *at <= now && *of == side) {
            link.notice.swap_remove(position);
            if std::mem::replace(link.open(side), false) {
                self.tell(id, side, |peer| {
                    peer.machine.handle_link_down(id, LinkEnd::Lost("lost".to_owned()), now)
                });
            }
            any = true;
        }
        let Some(link) = self.links.get_mut(&id) else { return any };
        if link.silent_until.is_some_and(|until| until > now) {
            return any;
        }
        let refill = link.towards(side.other()).refilled(now);
        if refill > 0 {
            self.tell(id, side, |peer| peer.machine.handle_link_room(id, refill));
            any = true;
        }
        while let Some(link) = self.links.get_mut(&id)
            && link.towards(side).next_at().is_some_and(|at| at <= now)
        {
            any = true;
            for arrival in link.towards(side).take(now) {
                self.arrive(id, side, arrival);
            }
            self.feed_data(id, side);
        }
        self.feed_data(id, side) || any
    }

    /// Data that has arrived is fed when the machine says so.
    fn feed_data(&mut self, id: LinkId, side: Side) -> bool {
        let mut any = false;
        let Some(link) = self.links.get_mut(&id) else { return false };
        for (stream, channel) in link.towards(side).waiting() {
            loop {
                let readiness = self.readiness(id, side, channel);
                if readiness == Readiness::Wait {
                    self.tally.waited += 1;
                    break;
                }
                let Some(link) = self.links.get_mut(&id) else { return any };
                let Some(frame) = link.towards(side).pop_waiting(stream) else { break };
                any = true;
                self.feed_if(id, side, readiness, frame);
            }
        }
        any
    }

    /// Whether data of a channel may be fed to the process that has the link.
    fn readiness(&mut self, id: LinkId, side: Side, channel: ChannelId) -> Readiness {
        match self.owner(id, side).and_then(|who| self.peer(who)) {
            Some(peer) => peer.machine.readiness(id, channel),
            None => Readiness::Wait,
        }
    }

    fn owner(&self, id: LinkId, side: Side) -> Option<Who> {
        match side {
            Side::Dialer => Some(Who::Dialer),
            Side::Acceptor => self.owners.get(&id).map(|session| Who::Acceptor(*session)),
        }
    }

    /// Feeds data that does not wait any more, unless nobody wants it.
    fn feed_if(&mut self, id: LinkId, side: Side, readiness: Readiness, frame: Frame) {
        let late = self.late.contains(&(id, side));
        let Some(link) = self.links.get_mut(&id) else { return };
        let open = *link.open(side) || late;
        if readiness == Readiness::Gone && !late || !open {
            return;
        }
        if readiness == Readiness::Ready {
            self.note_arrived(id, side, &frame);
            self.copy(id, side, &frame);
        }
        self.feed(id, side, frame);
    }

    /// Data of a datagram does not wait.
    fn feed_datagram(&mut self, id: LinkId, side: Side, frames: Vec<Frame>) {
        for frame in frames {
            let Some((channel, _)) = name_of(&frame) else { continue };
            match self.readiness(id, side, channel) {
                Readiness::Wait => self.tally.datagrams_early += 1,
                readiness => {
                    self.tally.datagrams_gone += u64::from(readiness == Readiness::Gone);
                    self.feed_if(id, side, readiness, frame);
                }
            }
        }
    }

    /// A peer may send a message again, now or on a later link: it must be known by its number.
    fn copy(&mut self, id: LinkId, side: Side, frame: &Frame) {
        let current = self.owners.get(&id) == Some(&self.dialer.machine.session());
        let Frame::Data(data) = frame else { return };
        if !current || !self.rng.percent(self.settings.copies) {
            return;
        }
        let who = self.on(side.other());
        let Some(epoch) = self.peer(who).map(|peer| peer.machine.epoch()) else { return };
        self.tally.copies += 1;
        self.feed(id, side, frame.clone());
        let channel = data.channel;
        // A deadline is said anew on each link, on the clock of whoever writes.
        if data.deadline.is_some() {
            return;
        }
        let old = self.copied.insert(side, (epoch, frame.clone()));
        let Some((_, old)) = old.filter(|(of, old)| *of == epoch && name_of(old).is_some()) else { return };
        if self.readiness(id, side, name_of(&old).map_or(channel, |(channel, _)| channel)) == Readiness::Ready
        {
            self.feed(id, side, old);
        }
    }

    /// The model hears of what arrives: the message, and by how much the receiver may be wrong about its deadline.
    fn note_arrived(&mut self, id: LinkId, side: Side, frame: &Frame) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let pipe = link.towards(side);
        let tolerance = pipe.note_clock(frame, now);
        let Some(Writer { session, epoch, .. }) = pipe.writer else { return };
        let name = |channel, sequence| MessageId { session, epoch, channel, sequence };
        match frame {
            Frame::Data(data) => {
                let size = data.payload.len() as u64;
                self.model.arrived(name(data.channel, data.sequence), size, tolerance);
            }
            Frame::Body(body) => {
                let end = body.offset + body.bytes.len() as u64;
                self.model.arrived(name(body.channel, body.sequence), end, tolerance);
            }
            Frame::Control(Control::Sending(sending)) => {
                for lane in &sending.lanes {
                    for extension in &lane.extended {
                        self.model.told_extension(name(lane.channel, extension.sequence), tolerance);
                    }
                }
            }
            Frame::Control(_) | Frame::Heartbeat(_) => {}
        }
    }

    fn arrive(&mut self, id: LinkId, side: Side, arrival: Arrival) {
        let now = self.now;
        let late = self.late.contains(&(id, side));
        let Some(link) = self.links.get_mut(&id) else { return };
        match arrival {
            Arrival::Datagram(frames) => self.feed_datagram(id, side, frames),
            Arrival::Closed(code, reason) => {
                if std::mem::replace(link.open(side), false) {
                    self.tell(id, side, |peer| {
                        peer.machine.handle_link_down(id, LinkEnd::Closed { code, reason }, now);
                    });
                }
            }
            Arrival::Frame(frame) if *link.open(side) || late => match (side, frame) {
                (Side::Acceptor, Frame::Control(Control::Hello(hello))) if !self.owners.contains_key(&id) => {
                    self.greet(id, *hello, DIALER);
                }
                (_, frame) => {
                    self.note_arrived(id, side, &frame);
                    self.feed(id, side, frame);
                }
            },
            Arrival::Frame(_) => {}
        }
    }

    /// Feeds a frame. What comes on a link that is over must change nothing (G9).
    pub(crate) fn feed(&mut self, id: LinkId, side: Side, frame: Frame) {
        let now = self.now;
        let over = self.late.contains(&(id, side));
        let mut fenced = false;
        self.tell(id, side, |peer| {
            let mut before = peer.machine.stats();
            peer.machine.handle_frame(id, frame, now);
            let after = peer.machine.stats();
            fenced = after.fenced_frames > before.fenced_frames;
            before.fenced_frames = after.fenced_frames;
            assert!(!fenced || before == after, "G9: a fenced frame changed {before:?} to {after:?}");
            assert!(!over || fenced, "G9: a frame of a link that is over was heard");
        });
        self.tally.fenced += u64::from(fenced);
    }

    fn tell(&mut self, id: LinkId, side: Side, say: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.owner(id, side).and_then(|who| self.peer(who)) {
            say(peer);
            peer.wait = None;
        }
    }
}

fn side_of(who: Who) -> Side {
    if who == Who::Dialer { Side::Dialer } else { Side::Acceptor }
}

/// Which message data belongs to.
pub(crate) fn name_of(frame: &Frame) -> Option<(ChannelId, u64)> {
    match frame {
        Frame::Data(data) => Some((data.channel, data.sequence)),
        Frame::Body(body) => Some((body.channel, body.sequence)),
        Frame::Control(_) | Frame::Heartbeat(_) => None,
    }
}
