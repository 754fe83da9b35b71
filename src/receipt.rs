//! What a sender holds of a message: how far it has come, and what became of it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::driver::shared::Handle;
use crate::driver::waiting::{Goal, Ticket};
use crate::error::{DeliveryError, Outcome};
use crate::id::MessageId;
use crate::protocol::types::{ChannelKey, Progress};

/// The receipt of one accepted message.
///
/// Awaiting it resolves when the peer's application has handled the message, across any number of reconnects, or with
/// the reason why it never will. There is no timeout in it; it ends at the latest when the session does. Dropping it
/// changes nothing for the message.
///
/// A receipt costs a reference to its session; only while it is awaited the session remembers it.
///
/// ```no_run
/// # async fn example(chat: bowline::Channel) -> Result<(), Box<dyn std::error::Error>> {
/// let receipt = chat.send("hello").await?;
/// receipt.await?; // handled by the peer's application
/// # Ok(())
/// # }
/// ```
#[must_use = "a receipt says what became of the message; drop it explicitly if that does not matter"]
pub struct Receipt {
    handle: Arc<Handle>,
    channel: ChannelKey,
    id: MessageId,
}

impl Receipt {
    pub(crate) fn new(handle: Arc<Handle>, channel: ChannelKey, id: MessageId) -> Self {
        Self { handle, channel, id }
    }

    /// The message's name, the same at both ends and for ever.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// How far the message has come by now.
    pub fn progress(&self) -> Progress {
        self.handle.look().machine.progress(self.channel, self.id.epoch, self.id.sequence)
    }

    /// Waits until the peer's session holds the message, or it was handled.
    ///
    /// # Errors
    ///
    /// The message was rejected, or its fate is unknown: it may not have been received.
    ///
    /// # Cancel safety
    ///
    /// Safe: this only looks.
    pub async fn received(&self) -> Result<(), DeliveryError> {
        match self.wait(Goal::Received).await {
            Progress::Resolved(outcome) => outcome.into_result(),
            Progress::Accepted | Progress::Partly { .. } | Progress::Received => Ok(()),
        }
    }

    /// Waits for what becomes of the message.
    ///
    /// # Cancel safety
    ///
    /// Safe: this only looks.
    pub async fn outcome(&self) -> Outcome {
        match self.wait(Goal::Resolved).await {
            Progress::Resolved(outcome) => outcome,
            // The goal excludes these.
            Progress::Accepted | Progress::Partly { .. } | Progress::Received => Outcome::Unknown,
        }
    }

    fn wait(&self, goal: Goal) -> Waiting<&Self> {
        Waiting { receipt: self, goal, ticket: None }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("id", &self.id).finish_non_exhaustive()
    }
}

impl AsRef<Receipt> for Receipt {
    fn as_ref(&self) -> &Receipt {
        self
    }
}

impl IntoFuture for Receipt {
    type Output = Result<(), DeliveryError>;
    type IntoFuture = Handled;

    fn into_future(self) -> Handled {
        Handled(Waiting { receipt: self, goal: Goal::Resolved, ticket: None })
    }
}

/// Resolves when a message was handled, or says why not: what awaiting a [`Receipt`] does.
///
/// # Cancel safety
///
/// Dropping it is the same as dropping the receipt.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Handled(Waiting<Receipt>);

impl Future for Handled {
    type Output = Result<(), DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|progress| match progress {
            Progress::Resolved(outcome) => outcome.into_result(),
            // The goal excludes these.
            Progress::Accepted | Progress::Partly { .. } | Progress::Received => Err(DeliveryError::Unknown),
        })
    }
}

/// Waits until a goal is met.
#[derive(Debug)]
struct Waiting<R: AsRef<Receipt>> {
    receipt: R,
    goal: Goal,
    /// The place among those who wait, while there is one.
    ticket: Option<Ticket>,
}

impl<R: AsRef<Receipt> + Unpin> Future for Waiting<R> {
    type Output = Progress;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Progress> {
        let this = &mut *self;
        let Receipt { handle, channel, id } = this.receipt.as_ref();
        let mut state = handle.look();
        let progress = state.machine.progress(*channel, id.epoch, id.sequence);
        if this.goal.is_met_by(&progress) {
            return Poll::Ready(progress);
        }
        let message = (id.epoch, id.sequence);
        state.waiting.receipts.wait(*channel, message, this.goal, &mut this.ticket, cx.waker());
        Poll::Pending
    }
}

impl<R: AsRef<Receipt>> Drop for Waiting<R> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let Receipt { handle, channel, id } = self.receipt.as_ref();
            handle.look().waiting.receipts.leave(*channel, (id.epoch, id.sequence), ticket);
        }
    }
}
