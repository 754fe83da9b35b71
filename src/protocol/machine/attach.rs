//! Links: how one is attached, and how everything that is said on others is fenced off (rules S1, S3–S5, G9, G11).
//!
//! ```text
//!  dialer                                             acceptor
//!  link up: joining ── Hello(counter, proof) ───────> waiting: proof, identity, counter
//!          <────────── Retry(stale | forgotten) ──┐   (another Hello on the same link)
//!          <────────── Refuse ────────────────────┤
//!  attached <───────── Welcome(epoch) ────────────┘── attached; the old link is superseded
//!          ─────────── Confirm ─────────────────────> confirmed
//!          <── Sending, Receiving, data, both ways ──>
//! ```
//!
//! After an attach everything written before is in doubt until the peer has said, channel by channel, what it has. If the peer's
//! epoch is another than the one known, it has forgotten everything, and what it may have handled is unknown.

use std::time::{Duration, Instant};

use super::room::Room;
use super::{Attached, Machine};
use crate::error::CloseCode;
use crate::id::Epoch;
use crate::protocol::heartbeat::Heart;
use crate::protocol::journal::Record;
use crate::protocol::liveness::Lease;
use crate::protocol::outbox::ResetCount;
use crate::protocol::proof;
use crate::protocol::silence::Silence;
use crate::protocol::types::{
    ChannelKey, Event, LinkEnd, LinkId, LinkInfo, LinkSample, Output, ProcessLiveness, Role, Wake, Window,
};
use crate::wire::heartbeat::INTERVALS_S;
use crate::wire::{Control, Frame, Health, Hello, Refuse, Retry, VERSION, Welcome};

/// A link that lived this long was a success: the next loss starts from the first wait.
pub(super) const STEADY: Duration = Duration::from_secs(1);
/// Links of one session that may wait for their Hello to be judged.
const MAX_WAITING: usize = 4;

impl Machine {
    /// A connection's handshake is complete. A dialer says Hello on it; an acceptor waits for one.
    pub fn handle_link_up(&mut self, link: LinkId, info: LinkInfo, now: Instant) {
        if self.closed.is_some() {
            return self.close_link(link, CloseCode::Reattach, "the session is over");
        }
        match self.role {
            Role::Acceptor if self.waiting.len() >= MAX_WAITING => {
                self.close_link(link, CloseCode::Busy, "too many links of this session wait");
            }
            Role::Acceptor => self.waiting.push((link, info)),
            Role::Dialer => self.join(link, info, now),
        }
    }

    /// A frame arrived. Feed data only while [`readiness`](Self::readiness) is `Ready`.
    pub fn handle_frame(&mut self, link: LinkId, frame: Frame, now: Instant) {
        if self.attached.as_ref().is_some_and(|attached| attached.link == link) {
            self.heard(now);
            self.awake(now);
            return match frame {
                Frame::Control(control) => self.handle_control(link, control, now),
                Frame::Data(data) => self.handle_data(link, data, now),
                Frame::Body(body) => self.handle_body(link, body, now),
                Frame::Heartbeat(beat) => self.handle_heartbeat(link, beat, now),
            };
        }
        if self.joining.as_ref().is_some_and(|joining| joining.link == link) {
            return self.handle_answer(link, frame, now);
        }
        match (frame, self.waiting.iter().position(|(waiting, _)| *waiting == link)) {
            (Frame::Control(Control::Hello(hello)), Some(position)) => {
                let (_, info) = self.waiting.swap_remove(position);
                self.handle_hello(link, info, *hello, now);
            }
            // Two Closes have crossed: both sides know, and nothing is left to wait for.
            (Frame::Control(Control::CloseAck), _) if self.linger.is_some_and(|(on, _)| on == link) => {
                self.linger = None;
                self.close_link(link, CloseCode::Normal, "the session is over");
            }
            _ => self.counts.fenced_frames += 1,
        }
    }

    // ---- acceptor ----

    fn handle_hello(&mut self, link: LinkId, info: LinkInfo, hello: Hello, now: Instant) {
        if let Some((code, reason)) = self.objection(&info, &hello) {
            return self.refuse_link(link, code, reason, false);
        }
        if hello.counter <= self.counter {
            self.transmit(link, Control::Retry(Retry::Stale(self.counter)));
            self.waiting.push((link, info));
            return;
        }
        if self.peer.epoch != Some(hello.epoch) && self.is_overfull() {
            let reason = "messages of former epochs are still untaken";
            return self.refuse_link(link, CloseCode::Busy, reason, true);
        }
        self.counter = hello.counter;
        let counter = hello.counter;
        self.journal.record(|| Record::Counter(counter));
        if self.peer.binding.is_none() {
            let binding = info.binding;
            self.journal.record(|| Record::Binding(binding.clone()));
            self.peer.binding = Some(binding);
        }
        self.peer.limits = Some(hello.limits);
        let (epoch, limits, durable) = (self.epoch, self.limits, self.durable);
        let welcome = Welcome { version: VERSION, epoch, counter, limits, durable };
        self.attach(link, hello.epoch, Some(welcome), now);
    }

    /// Why this Hello is not this session's business, if it is not.
    fn objection(&self, info: &LinkInfo, hello: &Hello) -> Option<(CloseCode, &'static str)> {
        if hello.version_min > VERSION || hello.version_max < VERSION {
            return Some((CloseCode::VersionMismatch, "this side speaks protocol version 1 only"));
        }
        if hello.session != self.session {
            return Some((CloseCode::Expired, "the session is over"));
        }
        let stranger = self.peer.binding.as_ref().is_some_and(|known| *known != info.binding);
        let proved = proof::verify(&self.secret, &info.exporter, hello.counter, &hello.proof);
        (stranger || !proved).then_some((CloseCode::WrongProof, "the proof for this session does not hold"))
    }

    fn refuse_link(&mut self, link: LinkId, code: CloseCode, reason: &str, retry: bool) {
        let refuse = Refuse { code: code.value(), reason: reason.to_owned(), retry };
        self.transmit(link, Control::Refuse(refuse));
        self.close_link(link, code, reason);
    }

    // ---- both ----

    /// The link carries the session from now on.
    pub(super) fn attach(&mut self, link: LinkId, epoch: Epoch, welcome: Option<Welcome>, now: Instant) {
        if let Some(old) = self.attached.take() {
            match self.role {
                Role::Dialer => self.close_link(old.link, CloseCode::Reattach, "a newer link took over"),
                Role::Acceptor => {
                    self.close_link(old.link, CloseCode::Superseded, &self.counter.to_string());
                }
            }
        }
        let first = self.peer.epoch.is_none();
        let reset = (self.peer.epoch != Some(epoch)).then(|| self.begin_peer_epoch(epoch));
        let resumes = self.confirmed && !first && reset.is_none();
        self.set_attached(link, welcome, resumes.then_some(0), now);
        self.counts.attaches += 1;
        self.detached_since = None;
        (self.redial.planned, self.redial.gave_up, self.redial.moving) = (None, false, false);
        self.abort_dial();
        self.process = ProcessLiveness::Alive;
        if self.background.is_some() {
            self.tell_presence(link);
        }
        self.rewind_channels();
        // An acceptor's first attach is complete with the Confirm.
        if self.confirmed {
            self.report_attach(first, reset.unwrap_or_default());
        }
        self.reject_too_large();
        self.wakes.insert(Wake::State);
        self.check_drained(now);
    }

    fn set_attached(&mut self, link: LinkId, welcome: Option<Welcome>, resuming: Option<u64>, now: Instant) {
        let dialer = self.role == Role::Dialer;
        let heart = dialer.then(|| Heart::new(self.rhythm.interval(), now));
        // Until a beat says more, the longest promise is assumed.
        let longest = INTERVALS_S.iter().copied().max().unwrap_or(u16::MAX);
        self.lease = (!dialer).then(|| Lease::new(Duration::from_secs(longest.into()), now));
        let hold = self.journal.last_batch();
        let sample = LinkSample::default();
        self.attached = Some(Attached {
            link,
            since: now,
            room: Room::closed(),
            hold,
            welcome,
            sample,
            sampled: now,
            heart,
            address_changes: 0,
            moves: 0,
            silence: Silence::default(),
            resuming,
        });
    }

    fn report_attach(&mut self, first: bool, reset: ResetCount) {
        if first {
            self.emit(Event::Connected);
        } else if self.attached.as_ref().is_some_and(|attached| attached.resuming.is_none()) {
            self.counts.resets += 1;
            self.emit(Event::Reset { undelivered: reset.unknown, redelivered: reset.redelivered });
        } else {
            self.counts.resumes += 1;
            self.report_resumed();
        }
    }

    /// The peer has another epoch than it had: it has lost what it knew.
    fn begin_peer_epoch(&mut self, epoch: Epoch) -> ResetCount {
        self.journal.record(|| Record::PeerEpoch(epoch));
        let first = self.peer.epoch.replace(epoch).is_none();
        self.channels.forget_remotes();
        let mut total = ResetCount::default();
        if first {
            return total;
        }
        let mut changed = Vec::new();
        for (key, channel) in self.channels.iter_mut() {
            let redeliver =
                channel.config.as_ref().is_some_and(|c| c.on_reset == crate::config::OnReset::Redeliver);
            if let Some(local) = channel.local.as_mut() {
                let count = local.outbox.on_reset(redeliver);
                (local.window, local.peer_ended, local.peer_forgot) = (Window::INITIAL, false, false);
                local.refused = None;
                if count.unknown > 0 {
                    local.unheard = Some(local.outbox.floor());
                }
                total.unknown += count.unknown;
                total.redelivered += count.redelivered;
                self.journal.changes(local.id, local.outbox.take_changes());
                changed.push(key);
            }
        }
        changed.into_iter().for_each(|key| self.wake_channel(key));
        // Of the service behind the new epoch nothing is known but that it is there.
        self.peer_health(Health::Serving);
        total
    }

    /// Nothing is known of what the peer has until it says so; everything is to be told anew.
    fn rewind_channels(&mut self) {
        let mut sending = Vec::new();
        let mut receiving = Vec::new();
        let mut fresh = Vec::new();
        for (key, channel) in self.channels.iter_mut() {
            if let Some(remote) = channel.remote.as_mut() {
                // What was told on the old link may be lost with it: it is over when it is told on this one.
                (remote.told_ended, remote.told_window) = (false, Window::INITIAL);
                remote.named = false;
                channel.inbox.retell();
                receiving.push(key);
            }
            if let Some(local) = channel.local.as_mut() {
                local.outbox.rewind();
                // The peer may have been restarted from its store, and grant less than before.
                (local.window, local.told_floor) = (Window::INITIAL, 0);
                local.told_end = false;
                (local.synced, local.heard) = (!local.outbox.ever_written(), false);
                sending.push(local.id);
                if local.synced {
                    fresh.push(key);
                }
            }
        }
        self.clock.forget();
        self.channels.tell_sending.extend(sending);
        self.channels.tell_receiving.extend(receiving);
        self.ack_due = None;
        fresh.into_iter().for_each(|key: ChannelKey| self.channels.enqueue(key));
    }

    /// Once every channel has heard what the peer has, the replay can be counted.
    pub(super) fn report_resumed(&mut self) {
        if self.attached.as_ref().is_none_or(|attached| attached.resuming.is_none()) {
            return;
        }
        let unsynced = |channel: &super::channels::Channel| channel.local.as_ref().is_some_and(|l| !l.synced);
        if self.channels.iter().any(|(_, channel)| unsynced(channel)) {
            return;
        }
        if let Some(replayed) = self.attached.as_mut().and_then(|attached| attached.resuming.take()) {
            self.emit(Event::Resumed { replayed });
        }
    }

    /// The connection is gone.
    pub fn handle_link_down(&mut self, link: LinkId, end: LinkEnd, now: Instant) {
        self.waiting.retain(|(waiting, _)| *waiting != link);
        if self.linger.is_some_and(|(lingering, _)| lingering == link) {
            self.linger = None;
        }
        let was_joining = self.joining.as_ref().is_some_and(|joining| joining.link == link);
        let was_attached = self.attached.as_ref().is_some_and(|attached| attached.link == link);
        if self.closed.is_some() || !(was_joining || was_attached) {
            return;
        }
        if was_joining {
            self.joining = None;
        }
        if was_attached {
            self.detach(now);
        }
        match end {
            LinkEnd::Closed { code, reason } => self.link_closed(code, reason, was_joining, now),
            LinkEnd::Lost(_) => self.link_lost(was_joining, now),
        }
    }

    fn link_closed(&mut self, code: CloseCode, reason: String, was_joining: bool, now: Instant) {
        match code {
            // The winner is a newer link of this very machine, unless its counter was never issued here (rule S5).
            CloseCode::Superseded if reason.parse().is_ok_and(|winner: u64| winner <= self.counter) => {
                self.link_lost(was_joining, now);
            }
            CloseCode::Reattach => self.link_lost(was_joining, now),
            CloseCode::Busy | CloseCode::Other(_) if self.confirmed || self.role == Role::Acceptor => {
                self.link_lost(was_joining, now);
            }
            _ => {
                let retry = matches!(code, CloseCode::Busy | CloseCode::Reattach | CloseCode::Expired);
                self.refused(code, reason, retry, now);
            }
        }
    }

    fn link_lost(&mut self, was_joining: bool, now: Instant) {
        if was_joining {
            self.dial_failed(now);
        } else {
            self.plan_redial(now);
        }
    }

    /// The session goes on without a link.
    pub(super) fn detach(&mut self, now: Instant) {
        // A peer that welcomes and closes at once is not to be dialed in a circle (guarantee G15).
        if self.attached.take().is_some_and(|attached| now >= attached.since + STEADY) {
            self.redial.backoff.reset();
        }
        let was_dormant = self.lease.take().is_some_and(|lease| lease.is_dormant());
        self.rhythm.disturb();
        self.ack_due = None;
        self.detached_since.get_or_insert(now);
        if let Some(closing) = self.closing.as_mut() {
            closing.untell();
        }
        self.wakes.insert(Wake::State);
        if self.role == Role::Acceptor && self.closed.is_none() && !was_dormant {
            let pending = self.unresolved();
            self.emit(Event::PeerOffline { pending });
        }
    }

    pub(super) fn close_link(&mut self, link: LinkId, code: CloseCode, reason: &str) {
        self.waiting.retain(|(waiting, _)| *waiting != link);
        self.out.push_back(Output::CloseLink { link, code, reason: reason.to_owned() });
    }

    /// Whether what former epochs of the peer left here must be taken before it may begin another one (rule G10).
    pub(super) fn is_overfull(&self) -> bool {
        let unopened = self.channels.iter().filter(|(_, channel)| channel.local.is_none()).count();
        if unopened > self.limits.max_channels as usize {
            return true;
        }
        self.channels.iter().any(|(_, channel)| {
            let window = channel.config.as_ref().map_or(Window::INITIAL, super::transfer::window_of);
            channel.inbox.is_overfull(window)
        })
    }
}
