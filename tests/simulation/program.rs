//! The programs at both ends: they find each other, open their channels, talk, listen, and write down what they see.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline::{
    Channel, Delivery, Dormant, Endpoint, Event, Inbox, Receipt, Restored, SendError, SendOptions, Session,
    SessionId,
};
use bowline_netsim::Time;
use bytes::Bytes;

use crate::model::{Attempt, Ledger, Shown, peer};
use crate::plan::{LARGE_BYTES, Line, Plan, TALK, ms};
use crate::process::Life;
use crate::rng::Rng;
use crate::world::{Ends, Who};

/// The smallest message that shows who sent it and when.
const SERIAL_BYTES: usize = 8;

/// What the processes of one run share with whoever watches it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) ends: Ends,
    pub(crate) plan: Plan,
    pub(crate) ledger: Ledger,
    sessions: Mutex<BTreeMap<(Who, SessionId), Session>>,
    /// Messages that were accepted so far, by channel and side.
    said: Vec<[AtomicU32; 2]>,
    serials: AtomicU64,
    /// Nobody hesitates any more.
    healed: AtomicBool,
    /// No new sessions.
    pub(crate) over: AtomicBool,
}

/// A process's view of the run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) who: Who,
    pub(crate) stage: Arc<Stage>,
    pub(crate) life: Arc<Life>,
}

impl Stage {
    pub(crate) fn new(ends: Ends, plan: Plan) -> Arc<Self> {
        let ledger = Ledger::new(ends.sim.clone());
        let said = plan.channels.iter().map(|_| Default::default()).collect();
        let (sessions, serials, healed, over) = Default::default();
        Arc::new(Self { ends, plan, ledger, sessions, said, serials, healed, over })
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, BTreeMap<(Who, SessionId), Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process is gone, and its handles with it.
    pub(crate) fn forget(&self, who: Who) {
        let gone: Vec<_> = {
            let mut sessions = self.sessions();
            let (gone, stay) =
                std::mem::take(&mut *sessions).into_iter().partition(|((of, _), _)| *of == who);
            *sessions = stay;
            let gone: BTreeMap<_, _> = gone;
            gone.into_values().collect()
        };
        drop(gone);
    }

    /// From now on nobody waits before the next message, and nobody dawdles.
    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
        // Who has given up is told by its user that the network is back.
        self.sessions().values().for_each(Session::reconnect);
    }

    fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// Whether everybody has said all that it had to.
    pub(crate) fn all_said(&self) -> bool {
        self.plan.channels.iter().zip(&self.said).all(|(line, said)| {
            Who::BOTH
                .iter()
                .all(|who| said[*who as usize].load(Ordering::Relaxed) >= line.talks[*who as usize].messages)
        })
    }
}

impl Program {
    fn ledger(&self) -> &Ledger {
        &self.stage.ledger
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.life.start(Box::pin(task));
    }

    /// The program of a process, for its life.
    pub(crate) async fn run(self, endpoint: Endpoint) {
        match self.who {
            Who::Client => self.dial(endpoint).await,
            Who::Server => self.accept(endpoint).await,
        }
    }

    async fn dial(self, endpoint: Endpoint) {
        let (addr, trust) = (self.stage.ends.server_address(), self.stage.ends.trust());
        let restored = self.restore(&endpoint).await;
        for dormant in restored.dialed {
            let session = dormant.connect(addr, trust.clone()).await.expect("it is remembered");
            self.ledger().count("restored");
            self.attend(session).await;
        }
        while !self.stage.over.load(Ordering::Relaxed) {
            match endpoint.connect(addr, trust.clone()).await {
                Ok(session) => self.attend(session).await,
                Err(_) => {
                    self.ledger().count("dials in vain");
                    tokio::time::sleep(ms(300)).await;
                }
            }
        }
    }

    /// The sessions of this process's predecessor.
    async fn restore(&self, endpoint: &Endpoint) -> Restored {
        let restored = endpoint.restore().await.expect("the disk can be read");
        if self.stage.plan.disks[self.who as usize].is_some() {
            let dialed = restored.dialed.iter().map(Dormant::id);
            let all: Vec<_> = dialed.chain(restored.accepted.iter().map(Session::id)).collect();
            self.ledger().restored(self.who, &all);
        }
        restored
    }

    async fn accept(self, endpoint: Endpoint) {
        let restored = self.restore(&endpoint).await;
        for session in restored.accepted {
            self.ledger().count("restored");
            let program = self.clone();
            self.spawn(async move { program.attend(session).await });
        }
        while let Some(incoming) = endpoint.accept().await {
            let program = self.clone();
            self.spawn(async move {
                let id = incoming.session();
                match incoming.accept().await {
                    Ok(session) => program.attend(session).await,
                    Err(_) => program.ledger().unmade(program.who, id),
                }
            });
        }
    }

    /// Talks and listens in a session until it is over.
    async fn attend(&self, session: Session) {
        let id = session.id();
        self.ledger().began(self.who, id);
        self.stage.sessions().insert((self.who, id), session.clone());
        let watching = self.clone().watch(session.clone());
        self.spawn(watching);
        for (place, line) in self.stage.plan.channels.iter().enumerate() {
            let Ok((channel, inbox)) = session.open(&line.label, line.config()).await else { break };
            let channel = Arc::new(channel);
            self.spawn(self.clone().talk(place, id, channel.clone()));
            self.spawn(self.clone().listen(place, id, inbox));
            self.spawn(self.clone().measure(place, id, channel));
        }
        let reason = session.closed().await;
        self.stage.sessions().remove(&(self.who, id));
        self.ledger().ended(self.who, id, reason);
    }

    /// Writes down what happens to a session.
    async fn watch(self, session: Session) {
        let mut events = session.events();
        // What was before this one looked: a session is made with a link, or restored without one.
        if session.state() == bowline::SessionState::Connected {
            self.ledger().attached(self.who, session.id(), false);
        }
        let id = session.id();
        drop(session);
        while let Some(event) = events.next().await {
            let counted = match event {
                Event::Connected => "connected",
                Event::Resumed { .. } => "resumed",
                Event::Reset { .. } => "reset",
                Event::Recovered => "recovered",
                Event::Suspect => "suspected",
                Event::Reconnecting { .. } => "reconnecting",
                Event::PeerOffline { .. } => "peer offline",
                Event::GaveUp => "gave up",
                Event::PathChanged { .. } => "path changed",
                Event::Service(_) => "service changed",
                Event::Closed(_) => "over",
                Event::Lagged { .. } => "events missed",
                _ => continue,
            };
            self.ledger().count(counted);
            match event {
                Event::Connected | Event::Resumed { .. } | Event::Recovered => {
                    self.ledger().attached(self.who, id, false);
                }
                Event::Reset { .. } => self.ledger().attached(self.who, id, true),
                Event::Reconnecting { .. } | Event::PeerOffline { .. } => {
                    self.ledger().detached(self.who, id);
                }
                Event::Closed(_) => self.ledger().over(self.who, id),
                Event::GaveUp if self.stage.is_healed() => {
                    let session = self.stage.sessions().get(&(self.who, id)).cloned();
                    session.iter().for_each(Session::reconnect);
                }
                _ => {}
            }
        }
    }

    fn rng(&self, place: usize, what: u64) -> Rng {
        let now = self.ledger().now().as_nanos();
        let seed = self.stage.plan.seed.wrapping_mul(0x2545_F491_4F6C_DD1D);
        Rng::new(seed ^ now.rotate_left(20) ^ (place as u64) << 8 ^ what << 4 ^ self.who as u64)
    }

    async fn talk(self, place: usize, session: SessionId, channel: Arc<Channel>) {
        let line = &self.stage.plan.channels[place];
        let talk = &line.talks[self.who as usize];
        let said = &self.stage.said[place][self.who as usize];
        let mut rng = self.rng(place, 1);
        let mut rested = tokio::time::Instant::now();
        while said.load(Ordering::Relaxed) < talk.messages {
            if let Some(silence) = talk.silence.filter(|_| rested.elapsed() >= TALK) {
                tokio::time::sleep(silence).await;
                rested = tokio::time::Instant::now();
            }
            if !self.stage.is_healed() {
                tokio::time::sleep(talk.gap.mul_f64(rng.range(50, 150) as f64 / 100.0)).await;
            }
            let large = rng.percent(talk.large.0);
            let (low, high) = if large { (bowline::config::LARGE + 1, talk.large.1) } else { talk.size };
            let size = (rng.range(low as u64, high as u64) as usize).max(SERIAL_BYTES);
            let payload = self.payload(size);
            let mut options = SendOptions::new();
            if let Some(deadline) = talk.deadline {
                options = options.deadline(deadline);
            }
            let (from, on) = ((self.who, session), (line.label.as_str(), line.delivery));
            let attempt = self.ledger().attempt(from, on, &payload, talk.deadline);
            match channel.send_with(payload, options).await {
                Ok(receipt) => {
                    said.fetch_add(1, Ordering::Relaxed);
                    let stored = self.stage.plan.disks[self.who as usize].is_some();
                    let (id, redeliver) = (receipt.id(), line.redeliver);
                    self.ledger().accepted(attempt, id, redeliver, stored);
                    let after = rng.percent(talk.withdrawn).then(|| ms(rng.range(0, 300)));
                    self.spawn(self.clone().follow(receipt, after, rng.percent(30)));
                }
                Err(SendError::DeadlinePassed) => {
                    said.fetch_add(1, Ordering::Relaxed);
                    self.ledger().refused(attempt);
                    self.ledger().count("deadline passed in line");
                }
                Err(error) => return self.give_up(attempt, &error),
            }
        }
    }

    fn give_up(&self, attempt: Attempt, error: &SendError) {
        assert!(matches!(error, SendError::Closed(_)), "a send failed: {error}");
        match self.stage.plan.disks[self.who as usize] {
            Some(_) => self.ledger().interrupted(attempt),
            None => self.ledger().refused(attempt),
        }
    }

    /// A serial number, and bytes that follow from it.
    fn payload(&self, size: usize) -> Bytes {
        let serial = self.stage.serials.fetch_add(1, Ordering::Relaxed);
        let mut bytes = vec![serial as u8; size];
        bytes[..SERIAL_BYTES].copy_from_slice(&serial.to_le_bytes());
        bytes.into()
    }

    /// Waits for what becomes of a message, or takes it back.
    async fn follow(self, receipt: Receipt, withdraw: Option<Duration>, ask: bool) {
        if let Some(after) = withdraw {
            tokio::time::sleep(after).await;
            self.ledger().withdrawn(self.who, receipt.id());
            receipt.cancel();
        }
        if ask && receipt.received().await.is_ok() {
            self.ledger().received(self.who, receipt.id());
        }
        let outcome = receipt.outcome().await;
        self.ledger().resolved(self.who, receipt.id(), &outcome);
    }

    async fn listen(self, place: usize, session: SessionId, mut inbox: Inbox) {
        let line = &self.stage.plan.channels[place];
        let listen = &line.listens[self.who as usize];
        let mut rng = self.rng(place, 2);
        let mut pauses = listen.pauses.iter().copied().peekable();
        loop {
            let now = self.ledger().now().since_start();
            while pauses.next_if(|(at, length)| *at + *length <= now).is_some() {}
            if let Some((_, length)) = pauses.next_if(|(at, _)| *at <= now) {
                self.pause(session, line, length).await;
                continue;
            }
            let until = pauses.peek().map(|(at, _)| Time::from(*at).since(Time::from(now)));
            tokio::select! {
                biased;
                () = tokio::time::sleep(until.unwrap_or_default()), if until.is_some() => continue,
                more = self.take(line, &mut inbox, &mut rng) => if !more { return },
            }
            if !self.stage.is_healed() && !listen.pace.is_zero() {
                tokio::time::sleep(listen.pace).await;
            }
        }
    }

    async fn pause(&self, session: SessionId, line: &Line, length: Duration) {
        if self.ledger().stalled(self.who, session, &line.label, true) {
            self.ledger().count("stalls");
        }
        tokio::time::sleep(length).await;
        self.ledger().stalled(self.who, session, &line.label, false);
    }

    /// Takes one message. Whether there may be more.
    async fn take(&self, line: &Line, inbox: &mut Inbox, rng: &mut Rng) -> bool {
        let (label, delivery) = (&line.label, line.delivery);
        let Some((back, refused)) = line.listens[self.who as usize].unacked else {
            let Some(message) = inbox.recv().await else { return false };
            self.ledger().handed_over(self.who, label, delivery, Shown::from(&message));
            self.ledger().acknowledged(self.who, message.id());
            return true;
        };
        let Some(message) = inbox.recv_unacked().await else { return false };
        self.ledger().handed_over(self.who, label, delivery, Shown::from(&message));
        match rng.range(0, 99) {
            roll if roll < back => drop(message),
            roll if roll < back + refused => message.reject("not today"),
            roll if roll % 4 == 0 && !self.stage.is_healed() => {
                // Somebody else works on it, and later ones are done before.
                let (program, long) = (self.clone(), ms(rng.range(1, 200)));
                self.spawn(async move {
                    tokio::time::sleep(long).await;
                    program.ledger().acknowledged(program.who, message.id());
                    message.ack();
                });
            }
            _ => {
                self.ledger().acknowledged(self.who, message.id());
                message.ack();
            }
        }
        true
    }

    /// Looks again and again whether a channel keeps its limits (G10), and what unreliable ones promise (G6).
    async fn measure(self, place: usize, session: SessionId, channel: Arc<Channel>) {
        let line = &self.stage.plan.channels[place];
        // What had ended above the floor is there again after a restart, and so is what a durable peer had.
        let restarted =
            self.stage.plan.disks.iter().any(Option::is_some) && !self.stage.plan.crashes.is_empty();
        let doubt = if restarted { 1 + 2 * self.stage.plan.crashes.len() } else { 1 };
        // Until it is opened, a reliable channel has a credit that is never taken back (rule C2).
        let initial = bowline::protocol::types::Window::INITIAL;
        let (messages, bytes) = match line.delivery.is_reliable() {
            true => (line.inbox.0.max(initial.messages as usize), line.inbox.1.max(initial.bytes as usize)),
            false => line.inbox,
        };
        while self.stage.sessions().contains_key(&(self.who, session)) {
            let stats = channel.stats();
            // Of states the newest is always taken.
            let newest = usize::from(line.delivery == Delivery::ReliableLatest);
            let limits = [
                ("messages in the outbox", stats.outbox_messages, doubt * line.outbox.0 + newest),
                ("bytes in the outbox", stats.outbox_bytes, doubt * (line.outbox.1 + LARGE_BYTES)),
                ("messages in the inbox", stats.inbox_messages, doubt * messages),
                ("bytes in the inbox", stats.inbox_bytes, doubt * (bytes + LARGE_BYTES)),
                ("bytes of messages in part", stats.partial_bytes, doubt * (bytes + LARGE_BYTES)),
            ];
            let (now, name) = (self.ledger().now(), peer(self.who, session));
            for (what, found, limit) in limits.into_iter().filter(|(_, found, limit)| found > limit) {
                let words =
                    format!("G10 bounds, at {now}: {name}, {:?}: {found} {what}, limit {limit}", line.label);
                self.ledger().book().violations.push(words);
            }
            let again = stats.replayed + stats.retransmitted;
            if !line.delivery.is_reliable() && again > 0 {
                let words =
                    format!("G6 no retransmission, at {now}: {name}, {:?}: {again} sent again", line.label);
                self.ledger().book().violations.push(words);
            }
            tokio::time::sleep(ms(250)).await;
        }
    }
}
