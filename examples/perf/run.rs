//! `perf run`: has a server do its part of a run, does the other one, and says what came of it.

use std::error::Error;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bowline::error::CloseReason;
use bowline::{Endpoint, Event, Events, Inbox, SendError, Session, SessionState, Trust};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::cli::{RunArgs, identity};
use crate::clock::{cpu_ns, now_ns};
use crate::control::{self, Begin, Body, Collect, LABEL, Line, Note};
use crate::hints;
use crate::payload::GENERATIONS_MAX;
use crate::plan::{Pattern, Plan, Quota};
use crate::remote::{Account, Remote, account};
use crate::sender::Lane;
use crate::show::Show;
use crate::side::{Sending, Side};
use crate::summary::{Direction, Summary};

/// How long nothing at all may move before a run is cut short: connected, and without a connection. The standard reconnect
/// policy gives up by itself after some two minutes.
const STILL_MAX: Duration = Duration::from_secs(30);
const DETACHED_MAX: Duration = Duration::from_secs(150);

/// How often is looked whether anything moves.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs the command to its end. Whether all that was promised was kept; an error if there was no run.
pub(crate) async fn run(args: RunArgs) -> Result<bool, Box<dyn Error>> {
    let plan = Arc::new(args.plan()?);
    let endpoint = Endpoint::client(identity(None)?, args.config())?;
    let show = Show::new(args.json);
    let session = endpoint.connect(args.target.as_str(), Trust::fingerprint(args.fingerprint)).await?;
    let mut course = Course::open(session.clone(), plan, show.clone()).await?;
    show.event("connected");
    if args.hints {
        hints::take(session, show.clone());
    }
    let ended = course.complete(args.settle).await;
    if let Err(End::Refused(why)) = ended {
        return Err(format!("the server refused the run: {why}").into());
    }
    let summary = course.summary(ended.err());
    course.leave().await;
    show.summary(&summary);
    endpoint.close("", Duration::ZERO).await;
    Ok(summary.broken.is_empty())
}

/// Why a run was cut short.
#[derive(Debug)]
enum End {
    Refused(String),
    Closed(CloseReason),
    Failed(SendError),
    GaveUp,
    Still(Duration),
    Forgotten,
    Interrupted,
}

impl From<SendError> for End {
    fn from(error: SendError) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut short: ")?;
        match self {
            Self::Refused(why) => write!(f, "the server refused the run: {why}"),
            Self::Closed(reason) => write!(f, "the session was {reason}"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::GaveUp => f.write_str("the server could not be reached any more"),
            Self::Still(time) => write!(f, "nothing moved for {} s", time.as_secs()),
            Self::Forgotten => f.write_str("the server was restarted too often"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// How far the part of the run is with the serving side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It was told the plan.
    Planned,
    /// It was told to begin.
    Beginning,
    /// Both sides do what they shall.
    Running,
    /// It was asked for its last word.
    Collecting,
}

/// A run from the first part to the last.
struct Course {
    session: Session,
    events: Events,
    line: Line,
    inbox: Inbox,
    plan: Arc<Plan>,
    side: Side,
    show: Show,
    stage: Stage,
    measured: bool,
    quota: Quota,
    generation: u32,
    /// All that there were in this part of the run.
    remotes: Vec<Remote>,
    sending: Option<Sending>,
    started: bool,
    began: Instant,
    begin_said_ns: u64,
    cpu_before: Option<u64>,
    cpu_ns: Option<u64>,
    stall: Duration,
    path_changes: u64,
    beats_before: u64,
    moved: (Instant, [u64; 5]),
}

impl Course {
    async fn open(session: Session, plan: Arc<Plan>, show: Show) -> Result<Self, Box<dyn Error>> {
        let events = session.events();
        let (channel, inbox) = session.open(LABEL, control::config()).await?;
        let side = Side::open(&session, plan.clone()).await?;
        let (now, quota) = (Instant::now(), Quota::of(&plan));
        Ok(Self {
            session,
            events,
            line: Line(channel),
            inbox,
            plan,
            side,
            show,
            stage: Stage::Planned,
            measured: false,
            quota,
            generation: 0,
            remotes: Vec::new(),
            sending: None,
            started: false,
            began: now,
            begin_said_ns: 0,
            cpu_before: None,
            cpu_ns: None,
            stall: Duration::ZERO,
            path_changes: 0,
            beats_before: 0,
            moved: (now, [0; 5]),
        })
    }

    /// Warms up, says nothing for a while if it shall, and measures.
    async fn complete(&mut self, settle: Option<Duration>) -> Result<(), End> {
        self.line.say(self.generation, Body::Plan((*self.plan).clone())).await?;
        let all = Quota::of(&self.plan);
        self.part(false, all.warm_up()).await?;
        if let Some(time) = settle {
            self.idle(time).await?;
        }
        self.part(true, all).await
    }

    /// Only looks at what happens.
    async fn idle(&mut self, time: Duration) -> Result<(), End> {
        let end = Instant::now() + time;
        loop {
            tokio::select! {
                () = sleep_until(end) => return Ok(()),
                event = self.events.next() => self.happened(event).await?,
                _ = tokio::signal::ctrl_c() => return Err(End::Interrupted),
            }
        }
    }

    /// One part of the run, from its beginning to the last report.
    async fn part(&mut self, measured: bool, quota: Quota) -> Result<(), End> {
        (self.measured, self.quota, self.started) = (measured, quota, false);
        self.remotes = vec![Remote::new(self.generation)];
        self.side.begin(measured);
        (self.began, self.cpu_before, self.cpu_ns) = (Instant::now(), cpu_ns(), None);
        self.moved.0 = Instant::now();
        self.beats_before = self.session.stats().beats_sent;
        if self.stage == Stage::Collecting {
            self.begin().await?;
        }
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_complete() {
            tokio::select! {
                event = self.events.next() => self.happened(event).await?,
                message = self.inbox.recv() => match message {
                    Some(message) => self.hear(control::read(message.payload())).await?,
                    // The session is over; its last event says why.
                    None => self.end().await?,
                },
                lanes = sent(&mut self.sending) => self.sent(lanes?),
                _ = looks.tick() => self.look()?,
                _ = tokio::signal::ctrl_c() => return Err(End::Interrupted),
            }
            let local = !self.plan.up() || (self.started && self.sending.is_none());
            let settled = local && self.remotes.last().is_some_and(Remote::is_settled);
            if self.stage == Stage::Running && settled {
                self.stage = Stage::Collecting;
                let cpu_now = cpu_ns();
                self.cpu_ns = cpu_now.zip(self.cpu_before).map(|(now, before)| now.saturating_sub(before));
                self.line.say(self.generation, Body::Collect(Collect { measured })).await?;
            }
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.stage == Stage::Collecting && self.remotes.last().is_some_and(Remote::is_complete)
    }

    /// Has the serving side begin with what is left to do.
    async fn begin(&mut self) -> Result<(), End> {
        let proved = self.remotes.iter().map(|remote| self.side.proved(remote.generation)).sum();
        let left = self.quota.after(proved, self.began.elapsed());
        let quota = if self.remotes.len() > 1 { left } else { self.quota };
        self.stage = Stage::Beginning;
        self.begin_said_ns = now_ns();
        Ok(self.line.say(self.generation, Body::Begin(Begin::new(self.measured, quota))).await?)
    }

    async fn hear(&mut self, note: Option<Note>) -> Result<(), End> {
        let Some(Note { generation, body: Some(body) }) = note else { return Ok(()) };
        let is_current = generation == self.generation;
        match body {
            Body::Refused(why) if is_current => return Err(End::Refused(why)),
            Body::Ready(ready) if is_current && self.stage == Stage::Planned => {
                self.stall = Duration::from_millis(ready.stall_ms);
                self.begin().await?;
            }
            Body::Began(began) if is_current && began.measured == self.measured => {
                if let Some(remote) = self.remotes.last_mut() {
                    remote.began(self.begin_said_ns, began.now_ns, now_ns());
                }
                self.start();
            }
            Body::Report(report) if report.measured == self.measured => {
                let mut remotes = self.remotes.iter_mut();
                if let Some(remote) = remotes.find(|remote| remote.generation == generation) {
                    remote.report(*report);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The serving side is ready for what this side sends.
    fn start(&mut self) {
        self.stage = Stage::Running;
        if self.started {
            return;
        }
        self.started = true;
        if self.measured {
            self.show.event("began");
        }
        if self.plan.up() {
            // This side forgets nothing: its numbers go on, whoever serves.
            self.sending = self.side.start(self.measured, 0, self.quota);
        }
    }

    fn sent(&mut self, lanes: Vec<Lane>) {
        self.sending = None;
        self.side.restore(lanes);
    }

    async fn happened(&mut self, event: Option<Event>) -> Result<(), End> {
        let Some(event) = event else { return self.end().await };
        self.show.session(&event);
        match event {
            Event::PathChanged { .. } => self.path_changes += 1,
            Event::GaveUp => return Err(End::GaveUp),
            Event::Closed(reason) => return Err(End::Closed(reason)),
            Event::Reset { .. } => self.again().await?,
            _ => {}
        }
        Ok(())
    }

    /// The serving side has forgotten the run: it is told again, to do the rest of it.
    async fn again(&mut self) -> Result<(), End> {
        self.generation += 1;
        if self.generation >= GENERATIONS_MAX {
            return Err(End::Forgotten);
        }
        if let Some(remote) = self.remotes.last_mut() {
            remote.die(self.side.sent().handled);
        }
        self.remotes.push(Remote::new(self.generation));
        self.side.forgotten();
        self.stage = Stage::Planned;
        Ok(self.line.say(self.generation, Body::Plan((*self.plan).clone())).await?)
    }

    async fn end(&self) -> Result<(), End> {
        Err(End::Closed(self.session.closed().await))
    }

    /// Looks whether anything moves.
    fn look(&mut self) -> Result<(), End> {
        let sent = self.side.sent();
        let [sent_there, taken_there, answers_there] =
            self.remotes.last().map(Remote::progress).unwrap_or_default();
        let taken = self.side.delivered();
        let progress = [sent.sent, sent.handled, taken, sent_there, taken_there + answers_there];
        self.show.progress(sent.sent + sent_there, taken + taken_there);
        let now = Instant::now();
        if progress != self.moved.1 {
            self.moved = (now, progress);
            return Ok(());
        }
        let still = now - self.moved.0;
        let pause = match self.plan.pattern() {
            Pattern::Flow => Duration::from_secs_f64(2.0 / self.plan.rate),
            _ => Duration::ZERO,
        };
        let limit = match self.session.state() {
            SessionState::Detached => DETACHED_MAX,
            _ => STILL_MAX + self.stall,
        };
        if still > limit + pause { Err(End::Still(still)) } else { Ok(()) }
    }

    /// What came of it, as far as it is known.
    fn summary(&self, ended: Option<End>) -> Summary {
        let plan = &*self.plan;
        let there = account(&self.remotes, |generation| self.side.proved(generation));
        let resets = self.remotes.len().saturating_sub(1) as u64;
        let stats = self.session.stats();
        let mut summary = Summary {
            up: plan.up().then(|| self.up(&there, resets)),
            down: plan.down().then(|| self.down(&there, resets)),
            reconnects: stats.attaches.saturating_sub(1),
            resumes: stats.resumes,
            resets: stats.resets,
            path_changes: self.path_changes,
            beats: stats.beats_sent.saturating_sub(self.beats_before),
            broken: Vec::new(),
        };
        let cpu_ns = self.cpu_ns.or_else(|| Some(cpu_ns()?.saturating_sub(self.cpu_before?)));
        summary.share_cpu(cpu_ns.zip(there.cpu_ns).map(|(here, there)| here + there));
        if !self.measured {
            (summary.up, summary.down) = (None, None);
        }
        summary.broken.extend(ended.map(|end| end.to_string()));
        for (name, direction) in [("up", &summary.up), ("down", &summary.down)] {
            let broken = direction.iter().flat_map(|direction| direction.broken(plan));
            summary.broken.extend(broken.map(|what| format!("{name}: {what}")));
        }
        summary
    }

    fn up(&self, there: &Account, resets: u64) -> Direction {
        let (plan, sent) = (&*self.plan, self.side.sent());
        if plan.pattern() != Pattern::Ping {
            return Direction::new(plan, &sent, there.received.clone());
        }
        let direction = Direction::new(plan, &sent, round_trips(self.side.answers(true), &there.received));
        if resets > 0 { direction.lost_with_a_process() } else { direction }
    }

    fn down(&self, there: &Account, resets: u64) -> Direction {
        let received = match self.plan.pattern() {
            Pattern::Ping => round_trips(there.answers.clone(), &self.side.received(true)),
            _ => self.side.received(true),
        };
        let direction = Direction::new(&self.plan, &there.sent, received);
        if resets > 0 { direction.lost_with_a_process() } else { direction }
    }

    /// Says goodbye, and shows what still happens.
    async fn leave(&mut self) {
        let events = &mut self.events;
        let told = async {
            while let Some(event) = events.next().await {
                self.show.session(&event);
            }
        };
        let both = async { tokio::join!(self.session.close_with("", FAREWELL), told) };
        // Whoever is not there any more cannot be told.
        let _ = timeout(FAREWELL * 2, both).await;
    }
}

/// Waits until all that this side sends has its outcome, while it sends.
async fn sent(sending: &mut Option<Sending>) -> Result<Vec<Lane>, End> {
    match sending {
        Some(sending) => match sending.await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Interrupted),
        },
        None => pending().await,
    }
}

/// The answers, and what was wrong with the pings on their way there.
fn round_trips(answers: control::Received, pings: &control::Received) -> control::Received {
    control::Received {
        duplicated: answers.duplicated + pings.duplicated,
        out_of_order: answers.out_of_order + pings.out_of_order,
        corrupted: answers.corrupted + pings.corrupted,
        ..answers
    }
}
