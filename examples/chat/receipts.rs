//! The fate of what was said, in the order it was said.
//!
//! A receipt can be awaited twice: for `received` and for the outcome. A task for each message would do, and so do two
//! tasks for all of them: receipts walk through one queue after the other, and because the channel is ordered, the
//! front one is the next to know. A message is told `received` before its outcome, or its outcome alone.

use bowline::error::Outcome;
use bowline::Receipt;
use tokio::sync::mpsc;

use crate::notice::Notice;
use crate::text;

/// Notices that may wait to be shown, before the tasks wait as well.
const TOLD_AHEAD: usize = 256;

/// Awaits receipts, and tells what became of them.
pub(crate) struct Receipts {
    /// Unbounded, because the channel's outbox bounds it: a message keeps its place there until it is resolved.
    queue: Option<mpsc::UnboundedSender<Receipt>>,
    told: mpsc::Receiver<Notice>,
}

impl Receipts {
    /// Starts the two tasks; they end with the queue.
    pub(crate) fn start() -> Self {
        let (queue, accepted) = mpsc::unbounded_channel();
        let (next, received) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::channel(TOLD_AHEAD);
        tokio::spawn(await_received(accepted, next, tell.clone()));
        tokio::spawn(await_outcomes(received, tell));
        Self { queue: Some(queue), told }
    }

    /// Awaits this one after those before it.
    pub(crate) fn push(&self, receipt: Receipt) {
        if let Some(queue) = &self.queue {
            // Fails only if a task has panicked, which the runtime reports.
            let _ = queue.send(receipt);
        }
    }

    /// No more will be pushed: what is left is told, then `next` ends.
    pub(crate) fn finish(&mut self) {
        self.queue = None;
    }

    /// What became of a message; cancel-safe. `None` after [`finish`](Self::finish), when all is told.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        self.told.recv().await
    }
}

async fn await_received(
    mut accepted: mpsc::UnboundedReceiver<Receipt>,
    next: mpsc::UnboundedSender<Receipt>,
    tell: mpsc::Sender<Notice>,
) {
    while let Some(receipt) = accepted.recv().await {
        let received = receipt.received().await.is_ok();
        if received && tell.send(Notice::Received { id: receipt.id() }).await.is_err() {
            return;
        }
        if next.send(receipt).is_err() {
            return;
        }
    }
}

async fn await_outcomes(mut received: mpsc::UnboundedReceiver<Receipt>, tell: mpsc::Sender<Notice>) {
    while let Some(receipt) = received.recv().await {
        let id = receipt.id();
        let outcome = match receipt.outcome().await {
            Outcome::Rejected { reason } => Outcome::Rejected { reason: text::clean(&reason) },
            outcome => outcome,
        };
        if tell.send(Notice::Ended { id, outcome }).await.is_err() {
            return;
        }
    }
}
