//! What each of the two sides has of a run: its data channels, the tasks that receive, and the accounts.

use std::sync::Arc;
use std::time::Duration;

use bowline::{OpenError, SendError, Session};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::control::{Received, Sent, answer_label, data_label};
use crate::ledger::{Ledger, Times};
use crate::meter::SharedMeter;
use crate::payload::Filler;
use crate::plan::{Pattern, Plan, Quota};
use crate::receiver::{Gate, Receiver};
use crate::sender::{Lane, Load, send};

/// Answers that wait for whoever pings: it waits for one at a time.
const ANSWERS_MAX: usize = 8;

/// All that a side sends in one part of a run, under way.
pub(crate) type Sending = JoinHandle<Result<Vec<Lane>, SendError>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Side {
    plan: Arc<Plan>,
    filler: Filler,
    /// Not here while they send.
    lanes: Option<Vec<Lane>>,
    ledger: Ledger,
    times: Times,
    /// What the peer sends.
    meter: SharedMeter,
    /// What the peer answers to pings of this side.
    answers: SharedMeter,
    /// Open once it is known what is to be counted.
    gate: Gate,
    forgotten: watch::Sender<u32>,
    /// Ends with the side.
    _receivers: JoinSet<()>,
}

impl Side {
    /// Opens the data channels, and takes from them what comes.
    pub(crate) async fn open(session: &Session, plan: Arc<Plan>) -> Result<Self, OpenError> {
        let (meter, answers) = (SharedMeter::new(&plan), SharedMeter::new(&plan));
        let gate = Gate::closed();
        let (forgotten, forgets) = watch::channel(0);
        let mut receivers = JoinSet::new();
        let mut lanes = Vec::new();
        for number in 0..plan.channels {
            let (channel, inbox) = session.open(&data_label(number), plan.config()).await?;
            let (to, answered) = mpsc::channel(ANSWERS_MAX);
            let receiver = Receiver { lane: number, inbox, meter: meter.clone(), gate: gate.clone() };
            if plan.pattern() == Pattern::Ping {
                let (out, inbox) = session.open(&answer_label(number), plan.config()).await?;
                receivers.spawn(receiver.run_pings(out));
                let receiver = Receiver { lane: number, inbox, meter: answers.clone(), gate: gate.clone() };
                receivers.spawn(receiver.run_answers(to));
            } else {
                receivers.spawn(receiver.run());
            }
            lanes.push(Lane { number, channel, answered, forgotten: forgets.clone() });
        }
        let ledger = Ledger::new(lanes.iter().map(|lane| lane.channel.clone()).collect());
        let filler = Filler::new(plan.size());
        let times = Times::default();
        let lanes = Some(lanes);
        Ok(Self {
            plan,
            filler,
            lanes,
            ledger,
            times,
            meter,
            answers,
            gate,
            forgotten,
            _receivers: receivers,
        })
    }

    /// A part of the run begins: all accounts start from nothing.
    pub(crate) fn begin(&mut self, measured: bool) {
        self.meter.lock().begin(measured);
        self.answers.lock().begin(measured);
        self.times = self.ledger.begin();
        self.gate.open();
    }

    /// Takes nothing for `length` after `delay`.
    pub(crate) fn stall(&self, delay: Duration, length: Duration) {
        tokio::spawn(self.gate.clone().stall(delay, length));
    }

    /// Sends its part, if it is not sending already.
    pub(crate) fn start(&mut self, measured: bool, generation: u32, quota: Quota) -> Option<Sending> {
        let (plan, filler, times) = (self.plan.clone(), self.filler.clone(), self.times.clone());
        let load = Load { plan, filler, quota, measured, generation, times };
        Some(tokio::spawn(send(self.lanes.take()?, load)))
    }

    /// Takes the lanes back, to send on them again.
    pub(crate) fn restore(&mut self, lanes: Vec<Lane>) {
        self.lanes = Some(lanes);
    }

    /// The peer has forgotten what it was sent.
    pub(crate) fn forgotten(&self) {
        self.forgotten.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Its account of what it sent.
    pub(crate) fn sent(&self) -> Sent {
        self.ledger.sent()
    }

    /// What came from the peer; with the latencies if `full`.
    pub(crate) fn received(&self, full: bool) -> Received {
        self.meter.lock().received(full)
    }

    /// What came from the peer in answer; with the latencies if `full`.
    pub(crate) fn answers(&self, full: bool) -> Received {
        self.answers.lock().received(full)
    }

    /// Messages taken so far, of either kind.
    pub(crate) fn delivered(&self) -> u64 {
        self.meter.lock().delivered() + self.answers.lock().delivered()
    }

    /// What numbers of this generation of the peer prove to have been sent.
    pub(crate) fn proved(&self, generation: u32) -> u64 {
        self.meter.lock().proved(generation)
    }
}
