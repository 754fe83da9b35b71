//! The task of a session: wait, feed, drain.
//!
//! Everything that comes in is fed to the machine under the session's lock, here or by a reader or a handle; what the
//! machine wants done is drained here and nowhere else, into the buffers of the links, which are then written.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::dialer::Dialer;
use super::environment::{BoxFuture, Timer};
use super::journal::Journal;
use super::link::{self, Established, INITIAL_ROOM, Writer};
use super::losses::Losses;
use super::metering::Metering;
use super::probing::Probing;
use super::shared::{Shared, State};
use crate::error::{CloseCode, CloseReason, ConnectError};
use crate::protocol::types::{Event, Finding, LinkId, NetworkId, Output, Wake};

/// Turns before other tasks get theirs.
const TURNS_MAX: usize = 32;

/// A dial under way.
pub(super) type Dialing = BoxFuture<Result<Established, ConnectError>>;

/// What to do when the session is over.
pub(super) type OnEnd = Box<dyn FnOnce(CloseReason) + Send>;

/// See the module.
pub(super) struct Task {
    shared: Arc<Shared>,
    links: BTreeMap<LinkId, Writer>,
    /// `None` on the accepting side, which waits for the dialer.
    dialer: Option<Dialer>,
    dialing: Option<Dialing>,
    journal: Option<Journal>,
    timer: Timer,
    /// What the timer is set to.
    deadline: Option<Instant>,
    /// The link that carries the session, and has been given room.
    attached: Option<LinkId>,
    /// Links that still have something to tell their peer.
    closing: Vec<BoxFuture<()>>,
    on_end: Option<OnEnd>,
    /// Why the session is over, once it is.
    over: Option<CloseReason>,
    /// The machine has said all it had to.
    finished: bool,
    woken: Vec<Waker>,
    losses: Losses,
    probing: Probing,
    metering: Metering,
}

impl Task {
    /// Starts the task of a session: on the dialing side with the first dial, which the machine of a new session expects.
    pub(super) fn spawn(
        shared: Arc<Shared>,
        dialer: Option<Dialer>,
        dialing: Option<Dialing>,
        on_end: OnEnd,
    ) {
        let env = shared.env.clone();
        let span = shared.span.clone();
        let task = Self {
            links: BTreeMap::new(),
            dialer,
            dialing,
            journal: env.store.clone().map(Journal::new),
            timer: env.new_timer(env.now()),
            deadline: None,
            attached: None,
            closing: Vec::new(),
            on_end: Some(on_end),
            over: None,
            finished: false,
            woken: Vec::new(),
            losses: Losses::default(),
            probing: Probing::default(),
            metering: Metering::new(),
            shared,
        };
        env.spawn(task.instrument(span));
    }

    /// Does what the machine wants done. Whether anything was.
    fn drain(&mut self, waker: &Waker) -> bool {
        let shared = self.shared.clone();
        let now = shared.env.now();
        let mut state = shared.look();
        let mut busy = state.take_flag(waker);
        self.take_over(&mut state);
        self.offer_room(&mut state, now);
        let mut changed = false;
        let wait = loop {
            match state.machine.poll_output(now) {
                Output::Wait(deadline) => break deadline,
                Output::Transmit { link, frame, priority } => {
                    if let Some(writer) = self.links.get_mut(&link) {
                        writer.push(frame, priority);
                    }
                }
                Output::CloseLink { link, code, reason } => self.close_link(link, code, reason),
                Output::Dial { attempt, timeout } => self.dial(attempt, timeout),
                Output::AbortDial => self.dialing = None,
                Output::Probe { link } => {
                    if let Some(writer) = self.links.get_mut(&link) {
                        writer.probe();
                    }
                }
                Output::Rebind { link } => {
                    if let Some(writer) = self.links.get_mut(&link) {
                        writer.rebind(&shared.env);
                    }
                }
                Output::Measure { network, silence } => self.measure(&mut state, network, silence, now),
                Output::StopMeasuring { from } => self.probing.stop(from),
                Output::Learned(network, lifetime) => shared.env.networks.remember(network, lifetime, now),
                Output::Abandon { link, channel, sequence } => {
                    if let Some(writer) = self.links.get_mut(&link) {
                        writer.abandon(channel, sequence);
                    }
                }
                Output::Journal(batch) => match &mut self.journal {
                    Some(journal) => journal.push(batch),
                    None => tracing::error!("a journal without a store"),
                },
                Output::Event(event) => announce(&state, event),
                Output::Wake(wake) => changed |= self.note(&mut state, wake, now),
            }
            busy = true;
        };
        if self.over.is_none() {
            self.over = state.closed();
        }
        self.finished = state.machine.is_finished();
        drop(state);
        self.set_timer(wait);
        for waker in self.woken.drain(..) {
            waker.wake();
        }
        if changed {
            self.shared.notify_changed();
        }
        busy
    }

    /// Takes links over from whoever attached them, and lets go of those that are gone.
    fn take_over(&mut self, state: &mut State) {
        for writer in state.arrivals.drain(..) {
            self.links.insert(writer.id, writer);
        }
        for link in state.departures.drain(..) {
            self.links.remove(&link);
        }
    }

    /// A link that was attached just now takes its first channel data.
    fn offer_room(&mut self, state: &mut State, now: Instant) {
        let attached = state.machine.attached();
        if attached != self.attached {
            self.attached = attached;
            if attached.is_none() {
                // Whoever has a link may go on.
                self.probing.release();
            }
            if let Some(link) = attached {
                state.machine.handle_link_room(link, INITIAL_ROOM);
                if let Some(writer) = self.links.get_mut(&link) {
                    state.sample(link, now, || writer.sample(now));
                    self.shared.enter_network(state, writer.remote(), now);
                    self.probing.enter(now);
                }
            }
        }
    }

    /// Collects whom a change concerns. Whether it concerns those in [`Shared::until`].
    fn note(&mut self, state: &mut State, wake: Wake, now: Instant) -> bool {
        let State { machine, waiting, .. } = state;
        match wake {
            Wake::Readable(channel) => {
                waiting.readable(channel, machine.inbox_end(channel).is_some(), &mut self.woken);
                self.losses.note(machine, channel, now);
            }
            Wake::Writable(channel) => {
                self.woken.extend(waiting.senders.get(&channel).and_then(|queue| queue.first()));
            }
            Wake::Resolved(channel) => {
                let progressed = machine.take_progressed(channel);
                let progress = |epoch, sequence| machine.progress(channel, epoch, sequence);
                waiting.receipts.take_met(channel, progressed, progress, &mut self.woken);
                self.losses.note(machine, channel, now);
            }
            Wake::Transfer(channel) => waiting.transfer_changed(channel, &mut self.woken),
            Wake::Incoming => self.woken.extend(waiting.incoming.all().cloned()),
            Wake::State => {}
        }
        let concerns_all = matches!(wake, Wake::State);
        if concerns_all || matches!(wake, Wake::Incoming) {
            let channels = machine.channel_count();
            self.links.values_mut().for_each(|link| link.permit_streams(channels));
        }
        concerns_all
    }

    fn close_link(&mut self, link: LinkId, code: CloseCode, reason: String) {
        if let Some(writer) = self.links.remove(&link) {
            tracing::debug!(link = link.0, ?code, %reason, "closing a link");
            self.closing.push(Box::pin(writer.close(self.shared.env.clone(), code, reason)));
        }
    }

    fn dial(&mut self, attempt: u32, timeout: Duration) {
        match &self.dialer {
            Some(dialer) => {
                tracing::debug!(attempt, ?timeout, "dialing");
                self.dialing = Some(dialer.dial(timeout));
            }
            None => tracing::error!("the accepting side cannot dial"),
        }
    }

    /// Finds out whether this side is still reached after a silence, unless another session does already.
    fn measure(&mut self, state: &mut State, network: NetworkId, silence: Duration, now: Instant) {
        let env = &self.shared.env;
        let remote = self.attached.and_then(|link| self.links.get(&link)).map(Writer::remote);
        if let Err(found) = self.probing.claim(&env.networks, network) {
            state.machine.handle_found_elsewhere(silence, found, now);
        } else if let (Some(dialer), Some(remote)) = (&self.dialer, remote) {
            self.probing.begin(env, dialer, remote, silence);
        } else {
            state.machine.handle_finding(silence, Finding::Unclear, now);
        }
    }

    fn set_timer(&mut self, wait: Option<Instant>) {
        if self.deadline != wait {
            self.deadline = wait;
            if let Some(deadline) = wait {
                self.timer.as_mut().reset(deadline);
            }
        }
    }

    /// Feeds what this task itself waits for. Whether there was anything.
    fn feed(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = self.feed_dial(cx);
        busy |= self.feed_journal(cx);
        busy |= self.feed_time(cx);
        busy |= self.feed_findings(cx);
        busy | self.feed_room(cx)
    }

    fn feed_dial(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(dialing) = &mut self.dialing else { return false };
        let Poll::Ready(result) = dialing.as_mut().poll(cx) else { return false };
        self.dialing = None;
        match result {
            Ok(established) => {
                if let Some(dialer) = &mut self.dialer {
                    dialer.bind_to(established.peer.as_ref());
                }
                if let Err((established, _)) = self.shared.attach(Box::new(established), None) {
                    link::close(&established.connection, CloseCode::Normal, "the session is over");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "dialing failed");
                let reason = error.to_string();
                self.shared.fail(error);
                self.shared.change(|state, now| state.machine.handle_dial_failed(&reason, now));
            }
        }
        true
    }

    fn feed_journal(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        let Poll::Ready(result) = journal.poll(cx) else { return false };
        self.shared.change(|state, now| match &result {
            Ok(number) => state.machine.handle_journaled(*number, now),
            Err(error) => {
                tracing::warn!(%error, "closing the session");
                state.machine.close(CloseCode::StoreFailed, &error.reason, Duration::ZERO, now);
            }
        });
        self.shared.notify_changed();
        true
    }

    fn feed_findings(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready((silence, finding)) = self.probing.poll(cx) else { return false };
        let is_learning = self.shared.change(|state, now| {
            state.machine.handle_finding(silence, finding, now);
            state.machine.is_learning()
        });
        if !is_learning {
            self.probing.release();
        }
        true
    }

    fn feed_time(&mut self, cx: &mut Context<'_>) -> bool {
        if self.deadline.is_none() || self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.deadline = None;
        let links = &mut self.links;
        self.shared.change(|state, now| {
            for (link, writer) in links {
                state.machine.handle_link_sample(*link, writer.sample(now), now);
            }
            state.machine.handle_timeout(now);
        });
        true
    }

    /// Writes to the links, and tells the machine what they can take anew.
    fn feed_room(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        let now = self.shared.env.now();
        for (link, writer) in &mut self.links {
            let freed = writer.poll(cx, now);
            if freed > 0 {
                self.shared.change(|state, now| {
                    state.machine.handle_link_room(*link, freed);
                    state.sample(*link, now, || writer.sample(now));
                });
                busy = true;
            }
            // quinn does not tell when the peer has moved, but whatever woke this task may have come from there.
            if self.attached == Some(*link)
                && let Some((former, remote)) = writer.take_new_remote()
            {
                self.shared.change(|state, _| state.machine.handle_path_changed(*link, former, remote));
                busy = true;
            }
            if let Some(what) = writer.take_violation() {
                tracing::warn!(what, "the peer broke the protocol");
                self.shared.change(|state, now| state.machine.handle_violation(*link, what, now));
                busy = true;
            }
        }
        busy
    }

    /// Goes on until nothing is left to do for now, or others must have their turn.
    fn turns(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS_MAX {
            let drained = self.drain(cx.waker());
            if !self.feed(cx) && !drained {
                self.closing.retain_mut(|closing| closing.as_mut().poll(cx).is_pending());
                return self.poll_end(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the session is over and nothing is left to do.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(reason) = self.over.clone() else { return Poll::Pending };
        if let Some(on_end) = self.on_end.take() {
            self.dialing = None;
            self.probing.stop(Duration::ZERO);
            on_end(reason.clone());
            if let Some(journal) = &mut self.journal {
                journal.forget(self.shared.id);
                // Nothing else may come that would have this task look at the journal again.
                cx.waker().wake_by_ref();
            }
        }
        if !self.finished {
            return Poll::Pending;
        }
        let open: Vec<_> = self.links.keys().copied().collect();
        for link in open {
            self.close_link(link, reason.code, reason.reason.clone());
        }
        self.closing.retain_mut(|closing| closing.as_mut().poll(cx).is_pending());
        if !self.closing.is_empty() || self.journal.as_ref().is_some_and(|journal| !journal.is_idle()) {
            return Poll::Pending;
        }
        let mut state = self.shared.look();
        state.events = None;
        state.ended = true;
        state.waiting.wake_all(&mut self.woken);
        drop(state);
        for waker in self.woken.drain(..) {
            waker.wake();
        }
        self.shared.notify_changed();
        Poll::Ready(())
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let end = this.turns(cx);
        this.metering.poll(&this.shared, cx, end.is_ready());
        end
    }
}

fn announce(state: &State, event: Event) {
    tracing::info!(?event, "session");
    if let Some(events) = &state.events {
        // Nobody may be listening.
        let _ = events.send(event);
    }
}
