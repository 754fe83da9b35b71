//! The serving side of one client's run: does as it is told over the control channel.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bowline::{SendError, Session};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::clock::{cpu_ns, now_ns};
use crate::control::{self, Began, Begin, Body, LABEL, Line, Note, Ready, Report};
use crate::payload::GENERATIONS_MAX;
use crate::plan::{Pattern, Plan};
use crate::sender::Lane;
use crate::side::{Sending, Side};

/// How far into a run the application stops taking messages, if it shall.
const STALL_DELAY: Duration = Duration::from_secs(3);

/// How often the other side is told how it stands: what is newer is lost if this side dies.
const REPORT_EVERY: Duration = Duration::from_millis(100);

type Problem = Box<dyn Error + Send + Sync>;

/// Serves one client until it leaves.
pub(crate) async fn serve(session: Session, stall: Option<Duration>) -> Result<(), Problem> {
    let (channel, mut inbox) = session.open(LABEL, control::config()).await?;
    let mut visit = Visit { session, line: Line(channel), stall, course: None };
    loop {
        tokio::select! {
            message = inbox.recv() => match message {
                Some(message) => visit.hear(control::read(message.payload())).await?,
                None => return Ok(()),
            },
            due = visit.due() => match due? {
                Due::Settle(lanes) => visit.settle(lanes).await?,
                Due::Report if visit.line.is_busy() || !visit.has_news() => {}
                Due::Report => visit.report(false).await?,
            },
        }
    }
}

struct Visit {
    session: Session,
    line: Line,
    stall: Option<Duration>,
    course: Option<Course>,
}

/// What is to be said unasked.
enum Due {
    /// All that was sent has its outcome.
    Settle(Vec<Lane>),
    Report,
}

/// A run, once the plan is known.
struct Course {
    generation: u32,
    plan: Arc<Plan>,
    side: Side,
    measured: bool,
    begun: bool,
    sending: Option<Sending>,
    settled: bool,
    cpu_before: Option<u64>,
    reports: Interval,
    /// What was sent and taken by the last report.
    told: Option<[u64; 3]>,
}

impl Course {
    fn progress(&self) -> [u64; 3] {
        let sent = self.side.sent();
        [sent.sent, sent.handled, self.side.delivered()]
    }
}

impl Visit {
    async fn hear(&mut self, note: Option<Note>) -> Result<(), Problem> {
        // What is not understood, or meant for a former process, is passed over.
        let Some(Note { generation, body: Some(body) }) = note else { return Ok(()) };
        match body {
            Body::Plan(plan) => {
                let answer = match self.prepare(generation, plan).await {
                    Ok(ready) => Body::Ready(ready),
                    Err(why) => Body::Refused(why),
                };
                self.line.say(generation, answer).await?;
            }
            Body::Begin(begin) => self.begin(generation, begin).await?,
            Body::Collect(_) if self.is_about(generation) => self.report(true).await?,
            _ => {}
        }
        Ok(())
    }

    fn is_about(&self, generation: u32) -> bool {
        self.course.as_ref().is_some_and(|course| course.generation == generation)
    }

    async fn prepare(&mut self, generation: u32, plan: Plan) -> Result<Ready, String> {
        plan.check()?;
        if generation >= GENERATIONS_MAX {
            return Err(format!("this is run {generation} of a session: connect again"));
        }
        if self.course.is_some() {
            return Err("a session has one run: connect again".to_owned());
        }
        let plan = Arc::new(plan);
        let side = Side::open(&self.session, plan.clone()).await.map_err(|error| error.to_string())?;
        let mut reports = interval(REPORT_EVERY);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.course = Some(Course {
            generation,
            plan,
            side,
            measured: false,
            begun: false,
            sending: None,
            settled: false,
            cpu_before: None,
            reports,
            told: None,
        });
        Ok(Ready { stall_ms: self.stall.unwrap_or_default().as_millis() as u64 })
    }

    async fn begin(&mut self, generation: u32, begin: Begin) -> Result<(), SendError> {
        let stall = self.stall;
        let Some(course) = self.course.as_mut().filter(|course| course.generation == generation) else {
            return Ok(());
        };
        let measured = begin.measured;
        course.side.begin(measured);
        (course.measured, course.begun, course.cpu_before) = (measured, true, cpu_ns());
        self.line.say(generation, Body::Began(Began { measured, now_ns: now_ns() })).await?;
        if course.plan.down() {
            course.sending = course.side.start(measured, generation, begin.quota());
        }
        course.settled = course.sending.is_none();
        if let Some(length) = stall.filter(|_| measured) {
            course.side.stall(STALL_DELAY, length);
        }
        if course.settled { self.report(false).await } else { Ok(()) }
    }

    /// Waits until there is something to say unasked.
    async fn due(&mut self) -> Result<Due, Problem> {
        let Some(course) = self.course.as_mut().filter(|course| course.begun) else {
            return pending().await;
        };
        let sent = async {
            match &mut course.sending {
                Some(sending) => sending.await,
                None => pending().await,
            }
        };
        tokio::select! {
            lanes = sent => Ok(Due::Settle(lanes??)),
            _ = course.reports.tick() => Ok(Due::Report),
        }
    }

    async fn settle(&mut self, lanes: Vec<Lane>) -> Result<(), SendError> {
        if let Some(course) = &mut self.course {
            (course.sending, course.settled) = (None, true);
            course.side.restore(lanes);
        }
        self.report(false).await
    }

    /// Whether anything moved since the last report. While nothing does nothing is said, so that a run can be idle.
    fn has_news(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.told != Some(course.progress()))
    }

    async fn report(&mut self, last: bool) -> Result<(), SendError> {
        let Some(course) = &mut self.course else { return Ok(()) };
        course.told = Some(course.progress());
        let Course { generation, measured, settled, ref side, .. } = *course;
        let cpu_ns = cpu_ns().zip(course.cpu_before).map(|(now, before)| now.saturating_sub(before));
        // At full speed a report now and then must cost next to nothing.
        let full = last || matches!(course.plan.pattern(), Pattern::Flow | Pattern::Ping);
        let (sent, received, answers) = (side.sent(), side.received(full), side.answers(full));
        let report = Report { measured, settled, last, sent, received, answers, cpu_ns };
        self.line.say(generation, Body::Report(Box::new(report))).await
    }
}
