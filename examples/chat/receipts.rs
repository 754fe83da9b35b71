//! The fate of what was said, in the order it was said.
//!
//! A receipt can be awaited twice: for `received` and for the outcome. A task for each message would do, and so do two
//! queues: because the channel is ordered, the front one of each is the next to know. A receipt walks from the first
//! queue to the second, so a message is told `received` before its outcome, or its outcome alone.

use std::collections::VecDeque;
use std::future::pending;

use bowline::Receipt;
use bowline::error::Outcome;

use crate::notice::Notice;
use crate::text;

/// Receipts of one ordered channel. As many as its outbox holds messages: a message keeps its place there until it
/// is resolved.
#[derive(Default)]
pub(crate) struct Receipts {
    accepted: VecDeque<Receipt>,
    received: VecDeque<Receipt>,
    finished: bool,
}

impl Receipts {
    /// Awaits this one after those before it.
    pub(crate) fn push(&mut self, receipt: Receipt) {
        self.accepted.push_back(receipt);
    }

    /// No more will be pushed: what is left is told, then [`next`](Self::next) ends.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// What became of a message. `None` when all is told and no more will come. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        loop {
            if self.finished && self.accepted.is_empty() && self.received.is_empty() {
                return None;
            }
            let received = async {
                match self.accepted.front() {
                    Some(receipt) => receipt.received().await,
                    None => pending().await,
                }
            };
            let outcome = async {
                match self.received.front() {
                    Some(receipt) => receipt.outcome().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                received = received => {
                    let receipt = self.accepted.pop_front()?;
                    let id = receipt.id();
                    self.received.push_back(receipt);
                    if received.is_ok() {
                        return Some(Notice::Received { id });
                    }
                }
                outcome = outcome => {
                    let id = self.received.pop_front()?.id();
                    return Some(Notice::Ended { id, outcome: clean(outcome) });
                }
            }
        }
    }
}

/// The reason of a rejection is the peer's.
fn clean(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Rejected { reason } => Outcome::Rejected { reason: text::clean(&reason) },
        outcome => outcome,
    }
}
