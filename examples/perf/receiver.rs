//! Takes what comes on one lane, and checks it.

use std::sync::Arc;
use std::time::Duration;

use bowline::{Channel, Inbox};
use tokio::sync::{mpsc, watch};

use crate::meter::{Batch, SharedMeter};
use crate::payload::answer;

/// Most messages taken at once.
const BATCH_MAX: usize = 1024;

/// Whether the application takes what comes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Nothing is taken, until it is [opened](Self::open).
    pub(crate) fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    /// Takes nothing for `length` after `delay`.
    pub(crate) async fn stall(self, delay: Duration, length: Duration) {
        tokio::time::sleep(delay).await;
        self.0.send_replace(false);
        tokio::time::sleep(length).await;
        self.open();
    }

    fn passage(&self) -> Passage {
        Passage(self.0.subscribe())
    }
}

/// A task's way through a [`Gate`].
#[derive(Debug)]
struct Passage(watch::Receiver<bool>);

impl Passage {
    async fn is_open(&mut self) {
        if !*self.0.borrow_and_update() {
            // A gate that is gone will not open; what is taken then goes nowhere.
            let _ = self.0.wait_for(|open| *open).await;
        }
    }
}

/// The receiving side of one lane.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) lane: u32,
    pub(crate) inbox: Inbox,
    pub(crate) meter: SharedMeter,
    pub(crate) gate: Gate,
}

impl Receiver {
    /// Takes messages to the end of the channel.
    pub(crate) async fn run(mut self) {
        let mut passage = self.gate.passage();
        let mut messages = Vec::new();
        loop {
            passage.is_open().await;
            if self.inbox.recv_many(&mut messages, BATCH_MAX).await == 0 {
                return;
            }
            let mut batch = Batch::default();
            let mut meter = self.meter.lock();
            for message in messages.drain(..) {
                meter.take(message.payload(), self.lane, &mut batch);
            }
            meter.pause(batch);
        }
    }

    /// The same for pings, which it answers on the channel beside.
    pub(crate) async fn run_pings(mut self, answers: Channel) {
        let mut passage = self.gate.passage();
        loop {
            passage.is_open().await;
            let Some(ping) = self.inbox.recv().await else { return };
            let checked = self.meter.lock().take(ping.payload(), self.lane, &mut Batch::default());
            if let Some(checked) = checked
                && answers.send(answer(checked, ping.payload())).await.is_err()
            {
                return;
            }
        }
    }

    /// The same for the answers, whose numbers it tells to whoever pings.
    pub(crate) async fn run_answers(mut self, to: mpsc::Sender<u64>) {
        let mut passage = self.gate.passage();
        loop {
            passage.is_open().await;
            let Some(answer) = self.inbox.recv().await else { return };
            let checked = self.meter.lock().take(answer.payload(), self.lane, &mut Batch::default());
            if let Some(checked) = checked {
                // It waits for one number; an answer that comes too late may go.
                let _ = to.try_send(checked.label.number);
            }
        }
    }
}
