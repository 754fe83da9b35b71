//! One session's protocol: the only composer of the parts. Inputs are `handle_*` and what the application asks;
//! everything to be done about them comes out of [`Machine::poll_output`].
//!
//! | file | what it is about |
//! |---|---|
//! | `attach`, `joining` | links: Hello, Welcome, fencing, resume and reset |
//! | `channels`, `halves`, `inbox` | channels, and what each side knows of them |
//! | `ready` | whose turn it is to be written |
//! | `transfer` | frames out: which comes next |
//! | `arrival` | data in |
//! | `telling` | what both sides tell of their channels |
//! | `app`, `sends` | what the application asks for |
//! | `learning` | the interval between beats, and what the NATs of a network allow |
//! | `life` | time: dialing again, heartbeat, expiry |
//! | `lease` | an acceptor's belief in its dialer |
//! | `background` | a dialer that is about to be stopped |
//! | `service` | the applications behind both sides |
//! | `closing` | the end of a session |
//! | `journaling` | records on their way to a store |

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use self::room::Room;
use crate::error::CloseReason;
use crate::id::{Epoch, SessionId};
use crate::protocol::backoff::Backoff;
use crate::protocol::heartbeat::Heart;
use crate::protocol::journal::{Record, Snapshot};
use crate::protocol::liveness::Lease;
use crate::protocol::outbox::Outbox;
use crate::protocol::peer_clock::PeerClock;
use crate::protocol::silence::Silence;
use crate::protocol::types::{
    ChannelKey, Event, LinkId, LinkInfo, LinkSample, Output, PathLiveness, ProcessLiveness, Role, Setup, Wake,
};
use crate::wire::{Control, Frame, PeerLimits, Secret, Welcome};

mod app;
mod arrival;
mod attach;
mod background;
mod channels;
mod closing;
mod halves;
mod inbox;
mod joining;
mod journaling;
mod learning;
mod lease;
mod life;
mod ready;
mod room;
mod sends;
mod service;
mod telling;
mod transfer;

pub use app::InboxEnd;
pub use sends::Accepted;

use background::Background;
use channels::Channels;
use closing::Closing;
use inbox::Inbox;
use joining::Joining;
use journaling::Journal;
use learning::Rhythm;
use service::Service;

/// One session's protocol state. See the [module documentation](crate::protocol) for how to drive it.
#[derive(Debug)]
pub struct Machine {
    role: Role,
    session: SessionId,
    secret: Secret,
    /// This side's epoch.
    epoch: Epoch,
    limits: PeerLimits,
    durable: bool,
    clock: PeerClock,
    /// What the calendar showed when the clock began.
    wall_ms: u64,
    rhythm: Rhythm,
    session_expiry: Duration,
    random: Random,

    peer: Peer,
    attached: Option<Attached>,
    joining: Option<Joining>,
    /// Acceptor: links that have not said an acceptable Hello yet.
    waiting: Vec<(LinkId, LinkInfo)>,
    /// The highest attach counter used (dialer) or accepted (acceptor).
    counter: u64,
    confirmed: bool,

    channels: Channels,
    journal: Journal,
    redial: Redial,
    lease: Option<Lease>,
    service: Service,
    process: ProcessLiveness,
    /// The dialer's process is about to be stopped, or was.
    background: Option<Background>,
    /// Since when there is no link, or none in which anybody believes.
    detached_since: Option<Instant>,
    closing: Option<Closing>,
    closed: Option<CloseReason>,
    /// The link on which the end was told, and until when it may stay.
    linger: Option<(LinkId, Instant)>,
    counts: Counts,

    out: VecDeque<Output>,
    wakes: BTreeSet<Wake>,
    /// When pending acknowledgements are to be sent.
    ack_due: Option<Instant>,
    /// What the last `Output::Wait` said.
    promised: Option<Option<Instant>>,
    /// From when on `handle_timeout` is late. What is found to be overdue is due from then on.
    due: Option<Instant>,
}

/// What is known of the other side.
#[derive(Debug, Default)]
struct Peer {
    epoch: Option<Epoch>,
    limits: Option<PeerLimits>,
    durable: bool,
    binding: Option<Vec<u8>>,
}

/// The link that carries the session.
#[derive(Debug)]
struct Attached {
    link: LinkId,
    since: Instant,
    /// Bytes of channel data that the driver will take.
    room: Room,
    /// Nothing leaves before this batch is durable (rule R4).
    hold: u64,
    /// What the acceptor says first.
    welcome: Option<Welcome>,
    sample: LinkSample,
    /// When that was.
    sampled: Instant,
    /// The dialer's heart; an acceptor only answers.
    heart: Option<Heart>,
    /// How often the acceptor has seen, or is known to have seen, another address of the dialer.
    address_changes: u64,
    /// Address changes that are this side's own doing, and not accounted for yet.
    moves: u64,
    /// What comes on it.
    silence: Silence,
    /// Messages to be sent again, counted while channels sync; `None` once reported or on a first attach.
    resuming: Option<u64>,
}

/// Dialer: what is being done to get a link.
#[derive(Debug)]
struct Redial {
    backoff: Backoff,
    /// The next attempt, when its time comes.
    planned: Option<(Instant, crate::protocol::backoff::Attempt)>,
    /// An attempt was asked for and not answered; how long its link may take to be welcomed.
    dialing: Option<Duration>,
    /// When the last attempt was asked for.
    dialed: Option<Instant>,
    /// The round trip of the last link, zero as long as there was none.
    rtt: Duration,
    gave_up: bool,
    /// The network has changed, and the first dial since then has not been answered: it goes on even if the old link
    /// turns out to live.
    moving: bool,
}

#[derive(Debug, Default)]
struct Counts {
    attaches: u64,
    resumes: u64,
    resets: u64,
    fenced_frames: u64,
    path_changes: u64,
    beats_sent: u64,
    beats_received: u64,
}

impl Machine {
    /// A new session. A dialer expects its first link without asking for it: whoever made it is dialing already.
    pub fn new(setup: Setup, now: Instant) -> Self {
        let mut machine = Self::empty(setup, now);
        let (dialer, secret, epoch) = (machine.role == Role::Dialer, machine.secret.clone(), machine.epoch);
        machine.journal.record(|| Record::Epoch { dialer, secret, epoch });
        machine
    }

    /// The session that a journal remembers. It is detached; a dialer dials at once. Channels are there under their
    /// labels, and get their configuration when they are opened. `setup`'s role and secret give way to those remembered.
    pub fn restore(setup: Setup, snapshot: Snapshot, now: Instant) -> Self {
        let mut machine = Self::empty(setup, now);
        if let Some((dialer, secret, epoch)) = snapshot.identity {
            machine.role = if dialer { Role::Dialer } else { Role::Acceptor };
            machine.secret = secret;
            machine.epoch = epoch;
        }
        machine.counter = snapshot.counter;
        machine.confirmed = match machine.role {
            Role::Dialer => snapshot.peer_epoch.is_some(),
            Role::Acceptor => snapshot.confirmed_ms.is_some(),
        };
        machine.peer.epoch = snapshot.peer_epoch;
        machine.peer.binding = snapshot.binding;
        machine.channels.reserve(snapshot.next_channel, snapshot.next_remote);
        for (id, lane) in snapshot.sending {
            let key = machine.channels.meet(&lane.label);
            let open = lane.open.into_iter().map(|(sequence, kept)| {
                (sequence, kept.payload, kept.deadline_ms.and_then(|at| machine.instant_of(at)))
            });
            let outbox = Outbox::restore(lane.delivery, lane.next, open, &lane.doubted, now);
            let mut local = channels::Local::new(id, outbox);
            local.finished = lane.finished;
            // Whether the peer had heard the floor is not remembered. Of unreliable messages it needs to hear nothing.
            let floor = local.outbox.floor();
            local.unheard = (floor > 0 && lane.delivery.is_reliable()).then_some(floor);
            machine.channels.insert_local(key, local);
        }
        if let Some(peer_epoch) = snapshot.peer_epoch {
            for (id, lane) in snapshot.receiving {
                let key = machine.channels.meet(&lane.label);
                let remote = channels::Remote::new(id, Ok(lane.delivery), lane.end);
                machine.channels.insert_remote(key, remote);
                machine.channels.note_incoming(key);
                let inbox =
                    Inbox::restore(machine.session, peer_epoch, id, lane, |at| machine.instant_of(at));
                if let Some(channel) = machine.channels.get_mut(key) {
                    channel.inbox = inbox;
                }
            }
        }
        machine.channels.retime(Duration::ZERO);
        machine.redial.dialing = None;
        machine.plan_redial(now);
        machine
    }

    fn empty(setup: Setup, now: Instant) -> Self {
        let mut random = Random::new(&setup.seed);
        let policy = setup.reconnect;
        let dialing = (setup.role == Role::Dialer).then_some(setup.attach_timeout);
        let redial = Redial {
            backoff: Backoff::new(policy),
            planned: None,
            dialing,
            dialed: None,
            rtt: Duration::ZERO,
            gave_up: false,
            moving: false,
        };
        Self {
            role: setup.role,
            session: setup.session,
            secret: setup.secret,
            epoch: random.epoch(),
            limits: setup.limits,
            durable: setup.durable,
            clock: PeerClock::new(now),
            wall_ms: setup.wall_ms,
            rhythm: Rhythm::new(setup.heartbeat, setup.role),
            session_expiry: setup.session_expiry,
            random,
            peer: Peer::default(),
            attached: None,
            joining: None,
            waiting: Vec::new(),
            counter: 0,
            confirmed: false,
            channels: Channels::default(),
            journal: Journal::new(setup.journaled),
            redial,
            lease: None,
            service: Service::default(),
            process: ProcessLiveness::Unknown,
            background: None,
            detached_since: Some(now),
            closing: None,
            closed: None,
            linger: None,
            counts: Counts::default(),
            out: VecDeque::new(),
            wakes: BTreeSet::new(),
            ack_due: None,
            promised: None,
            due: None,
        }
    }

    /// The next thing to do. Call until it gives [`Output::Wait`].
    pub fn poll_output(&mut self, now: Instant) -> Output {
        self.promised = None;
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        if let Some(batch) = self.journal.next_batch(self.session) {
            return Output::Journal(batch);
        }
        if let Some((link, frame, priority)) = self.next_frame(now) {
            return Output::Transmit { link, frame, priority };
        }
        // Looking for it may have brought something about.
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        if let Some(wake) = self.wakes.pop_first() {
            return Output::Wake(wake);
        }
        let deadline = self.deadline();
        self.due = match deadline {
            Some(passed) if passed <= now => self.due.filter(|due| *due <= now).or(Some(now)),
            coming => coming,
        };
        self.promised = Some(deadline);
        Output::Wait(deadline)
    }

    /// Whether `poll_output` has something new to say since it last said [`Output::Wait`]. Ask after calls on behalf of the
    /// application, to wake whoever drives the machine only when that is needed.
    pub fn needs_poll(&self, now: Instant) -> bool {
        let Some(promised) = self.promised else { return true };
        let is_sooner = |deadline| promised.is_none_or(|promised| deadline < promised);
        !self.out.is_empty()
            || !self.wakes.is_empty()
            || self.journal.has_batch()
            || self.has_frame(now)
            || self.deadline().is_some_and(is_sooner)
    }

    /// Batch `number` and all before it are durable.
    pub fn handle_journaled(&mut self, number: u64, now: Instant) {
        let before = self.journal.durable();
        self.journal.handle_journaled(number);
        let durable = self.journal.durable();
        let mut news = Vec::new();
        let mut writable = Vec::new();
        for (key, channel) in self.channels.iter_mut() {
            let settled = channel.inbox.ledger.settle(durable);
            if channel.remote.as_ref().is_some_and(|remote| settled || remote.is_settled(before, durable)) {
                news.push(key);
            }
            if channel.local.is_some() {
                writable.push(key);
            }
        }
        if !news.is_empty() {
            self.channels.tell_receiving.extend(news);
            self.ack_at(now);
        }
        for key in writable {
            self.channels.enqueue(key);
            self.wakes.insert(Wake::Writable(key));
        }
        // The link may have waited for its records to be told the end.
        self.check_drained(now);
    }

    /// The journal batch up to which everything is durable; without a journal, the largest number.
    pub fn durable_batch(&self) -> u64 {
        self.journal.durable()
    }

    /// The journal batch that all that has happened so far is, or will be, in; 0 without a journal.
    pub fn last_batch(&self) -> u64 {
        self.journal.last_batch()
    }

    fn emit(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn transmit(&mut self, link: LinkId, control: Control) {
        self.out.push_back(Output::Transmit { link, frame: Frame::Control(control), priority: 0 });
    }

    /// What the calendar shows at a time of this side's clock, and the other way round.
    fn wall_of(&self, at: Instant) -> u64 {
        self.wall_ms.saturating_add(self.clock.own_ms(at))
    }

    fn instant_of(&self, wall_ms: u64) -> Option<Instant> {
        self.clock.at(wall_ms.saturating_sub(self.wall_ms))
    }

    /// The round trip of the attached link; zero as long as it is not known.
    fn rtt(&self) -> Duration {
        self.attached.as_ref().map_or(Duration::ZERO, |attached| attached.sample.rtt)
    }

    /// The channel's time may have come nearer.
    fn touch(&mut self, key: ChannelKey) {
        let rtt = self.rtt();
        self.channels.touch(key, rtt);
    }

    fn wake_channel(&mut self, key: ChannelKey) {
        self.wakes.extend([Wake::Readable(key), Wake::Writable(key), Wake::Resolved(key)]);
    }

    fn path(&self) -> PathLiveness {
        let Some(attached) = &self.attached else { return PathLiveness::Down };
        let suspect = attached.heart.as_ref().is_some_and(Heart::is_suspect)
            || self.lease.as_ref().is_some_and(Lease::is_dormant);
        if suspect { PathLiveness::Suspect } else { PathLiveness::Alive }
    }
}

/// The machine's randomness: SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators") over
/// a seed that was given, so that a run can be replayed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: &[u8; 32]) -> Self {
        let fold = |state: u64, byte: &u8| state.rotate_left(8) ^ u64::from(*byte);
        let halves = seed.split_at(16);
        // Two halves folded on their own, so that no seed of 32 equal bytes becomes zero.
        let (a, b) = (halves.0.iter().fold(1, fold), halves.1.iter().fold(2, fold));
        Self(a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn epoch(&mut self) -> Epoch {
        loop {
            if let Some(epoch) = Epoch::new(self.next()) {
                return epoch;
            }
        }
    }
}
