//! Sends on one lane, or evenly on all, until the quota is met.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bowline::{Channel, Receipt, SendError};
use bytes::BytesMut;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::now_ns;
use crate::ledger::Times;
use crate::payload::{Filler, Label, Writer};
use crate::ping::ping;
use crate::plan::{Pattern, Plan, Quota};

/// How often a sender looks whether everything has its outcome.
const SETTLE_STEP: Duration = Duration::from_millis(2);

/// How long after its last message an unreliable sender waits for what may still arrive.
const UNRELIABLE_TAIL: Duration = Duration::from_secs(1);

/// The sending side of one data channel.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: u32,
    pub(crate) channel: Channel,
    /// Numbers of pings that were answered.
    pub(crate) answered: mpsc::Receiver<u64>,
    /// Changes when the peer has forgotten what it was sent.
    pub(crate) forgotten: watch::Receiver<u32>,
}

/// What is to be sent in one part of a run.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) plan: Arc<Plan>,
    pub(crate) filler: Filler,
    pub(crate) quota: Quota,
    pub(crate) measured: bool,
    pub(crate) generation: u32,
    pub(crate) times: Times,
}

impl Load {
    /// Makes the messages of a lane.
    pub(crate) fn writer(&self, lane: u32) -> Writer {
        let Self { measured, generation, .. } = *self;
        Writer::new(self.filler.clone(), Label { measured, answer: false, generation, lane, number: 0 })
    }

    fn share(&self, lane: &Lane) -> Quota {
        self.quota.share(lane.number, self.plan.channels)
    }
}

/// Sends everything, and waits until it has its outcome; yields the lanes for the next part of the run.
pub(crate) async fn send(lanes: Vec<Lane>, load: Load) -> Result<Vec<Lane>, SendError> {
    let lanes = match load.plan.pattern() {
        Pattern::Flow => flow(lanes, &load).await?,
        Pattern::Throughput | Pattern::Acked => each(lanes, &load, pour).await?,
        Pattern::Ping => each(lanes, &load, ping).await?,
    };
    settle(&lanes, &load).await;
    Ok(lanes)
}

/// Has all lanes do the same at once.
async fn each<F>(
    lanes: Vec<Lane>,
    load: &Load,
    act: impl Fn(Lane, Quota, Load) -> F,
) -> Result<Vec<Lane>, SendError>
where
    F: Future<Output = Result<Lane, SendError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for lane in lanes {
        let share = load.share(&lane);
        tasks.spawn(act(lane, share, load.clone()));
    }
    let mut lanes = tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    lanes.sort_by_key(|lane| lane.number);
    Ok(lanes)
}

/// Sends as much as the channel takes, or as may be unresolved.
async fn pour(lane: Lane, quota: Quota, load: Load) -> Result<Lane, SendError> {
    let mut writer = load.writer(lane.number);
    let batch = load.plan.batch();
    let mut window = load.plan.in_flight().map(|messages| Window { messages, marks: VecDeque::new() });
    let mut chunk = BytesMut::new();
    let began = Instant::now();
    let mut last = None;
    loop {
        let count = match quota {
            Quota::Count(all) => batch.min(all - writer.number()),
            Quota::For(duration) if began.elapsed() < duration => batch,
            Quota::For(_) => 0,
        };
        if count == 0 {
            break;
        }
        if let Some(window) = &mut window {
            window.room_for(count, &lane.channel).await;
        }
        let now = now_ns();
        load.times.sent(now);
        for _ in 0..count {
            last = Some(lane.channel.send(writer.next(&mut chunk, now)).await?);
        }
        if let Some(window) = &mut window {
            window.marks.extend(last.take());
        }
        if load.plan.yields() {
            tokio::task::yield_now().await;
        }
    }
    let marks = window.into_iter().flat_map(|window| window.marks);
    if let Some(receipt) = last.into_iter().chain(marks).last() {
        resolved(&load, receipt).await;
    }
    Ok(lane)
}

/// Holds back what would be too much at once.
struct Window {
    messages: u64,
    /// The receipt of the last message of each batch.
    marks: VecDeque<Receipt>,
}

impl Window {
    /// Waits until so many messages may be sent.
    async fn room_for(&mut self, count: u64, channel: &Channel) {
        while channel.stats().outbox_messages as u64 + count > self.messages {
            match self.marks.pop_front() {
                Some(mark) => drop(mark.outcome().await),
                // Unordered messages may outlast the last one.
                None => sleep(SETTLE_STEP).await,
            }
        }
    }
}

/// Sends at the rate, on one lane after the other.
async fn flow(lanes: Vec<Lane>, load: &Load) -> Result<Vec<Lane>, SendError> {
    let rate = load.plan.rate;
    let all = match load.quota {
        Quota::Count(count) => count,
        Quota::For(duration) => (duration.as_secs_f64() * rate).round() as u64,
    };
    let mut writers: Vec<_> = lanes.iter().map(|lane| load.writer(lane.number)).collect();
    let mut turns = lanes.iter().map(|lane| &lane.channel).zip(0_usize..).cycle();
    let mut chunk = BytesMut::new();
    let began = Instant::now();
    let mut last = None;
    for n in 0..all {
        let due = began + Duration::from_secs_f64(n as f64 / rate);
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let Some((channel, writer)) = turns.next().and_then(|(it, n)| Some((it, writers.get_mut(n)?))) else {
            break;
        };
        let now = now_ns();
        load.times.sent(now);
        last = Some(channel.send(writer.next(&mut chunk, now)).await?);
    }
    if let Some(receipt) = last {
        resolved(load, receipt).await;
    }
    Ok(lanes)
}

/// Waits for the last message of a lane: what was before it mostly has its outcome then.
async fn resolved(load: &Load, receipt: Receipt) {
    if load.plan.delivery().is_reliable() {
        receipt.outcome().await;
        load.times.settled(now_ns());
    }
}

/// Waits until nothing is unresolved any more; where nobody will know, for a while.
async fn settle(lanes: &[Lane], load: &Load) {
    if !load.plan.delivery().is_reliable() {
        return sleep(UNRELIABLE_TAIL).await;
    }
    while lanes.iter().any(|lane| lane.channel.stats().outbox_messages > 0) {
        sleep(SETTLE_STEP).await;
        load.times.settled(now_ns());
    }
}
