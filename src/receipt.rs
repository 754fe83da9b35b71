//! What a sender holds of a message: how far it has come, and what became of it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::driver::environment::BoxFuture;
use crate::driver::shared::Handle;
use crate::driver::waiting::{Goal, Ticket};
use crate::error::{DeliveryError, ExtendError, Outcome};
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

    /// How far the message has come by now. Of a large message, of more than 64 KiB, [`Progress::Partly`] says how much
    /// of it the peer's session holds; what survives a reconnect is not sent again.
    pub fn progress(&self) -> Progress {
        self.handle.look().machine.progress(self.channel, self.id.epoch, self.id.sequence)
    }

    /// Waits until the peer's session holds the message, or it was handled.
    ///
    /// # Errors
    ///
    /// It ended otherwise, see [`DeliveryError`]. If its fate is unknown, it may or may not have been received.
    ///
    /// # Cancel safety
    ///
    /// Safe: this only looks.
    pub async fn received(&self) -> Result<(), DeliveryError> {
        match self.wait(Goal::Received).await {
            Progress::Resolved(outcome) => self.stored(outcome).await.into_result(),
            Progress::Accepted | Progress::Partly { .. } | Progress::Received => Ok(()),
        }
    }

    /// Waits for what becomes of the message. With a store, that it was not sent after all is told when the store has that:
    /// a process that begins again sends what it remembers.
    ///
    /// # Cancel safety
    ///
    /// Safe: this only looks.
    pub async fn outcome(&self) -> Outcome {
        match self.wait(Goal::Resolved).await {
            Progress::Resolved(outcome) => self.stored(outcome).await,
            // The goal excludes these.
            Progress::Accepted | Progress::Partly { .. } | Progress::Received => Outcome::Unknown,
        }
    }

    /// Waits until the message has come further than it was when this was called, or is over, and says how far. Of a
    /// large message this tells each time that more of it is there; after a reconnect it may be less.
    ///
    /// To miss nothing, call this before looking:
    ///
    /// ```no_run
    /// # async fn example(receipt: bowline::Receipt) {
    /// use bowline::Progress;
    ///
    /// loop {
    ///     let next = receipt.progressed();
    ///     match receipt.progress() {
    ///         Progress::Partly { received, size } => println!("{received} of {size} bytes are there"),
    ///         Progress::Resolved(outcome) => break println!("{outcome:?}"),
    ///         _ => {}
    ///     }
    ///     next.await;
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: this only looks.
    pub fn progressed(&self) -> impl Future<Output = Progress> + Send + use<'_> {
        self.wait(Goal::Beyond(self.progress()))
    }

    /// Withdraws the message: it is not sent, or its rest is not, and if the peer's application does not have it yet, it never
    /// will. Whether that can still have an effect, because the message is not over; the [`outcome`](Self::outcome) says
    /// what became of it, which is [`Outcome::Cancelled`] or what was faster, [`Outcome::Handled`] for instance.
    ///
    /// On unreliable channels a message is over, as [`Outcome::Unknown`], as soon as it was given to the network.
    pub fn cancel(&self) -> bool {
        let MessageId { epoch, sequence, .. } = self.id;
        self.handle.feed(|state, now| state.machine.cancel(self.channel, epoch, sequence, now))
    }

    /// Gives the message another deadline, later or sooner: this long from now. Above zero; of more than 292 years nothing
    /// is kept but that it is long.
    ///
    /// The new deadline counts when it reaches the peer before the old one has passed there.
    ///
    /// # Errors
    ///
    /// [`ExtendError::Over`] or [`ExtendError::DeadlinePassed`]. The deadline is what it was.
    pub fn extend_deadline(&self, lifetime: Duration) -> Result<(), ExtendError> {
        if lifetime.is_zero() {
            return Err(ExtendError::DeadlinePassed);
        }
        self.set_lifetime(Some(lifetime))
    }

    /// Takes the message's deadline away: it does not expire any more.
    ///
    /// The peer must hear of it before the old deadline has passed there, as with [`extend_deadline`](Self::extend_deadline).
    ///
    /// # Errors
    ///
    /// [`ExtendError::Over`]. The deadline is what it was.
    pub fn remove_deadline(&self) -> Result<(), ExtendError> {
        self.set_lifetime(None)
    }

    fn set_lifetime(&self, lifetime: Option<Duration>) -> Result<(), ExtendError> {
        let MessageId { epoch, sequence, .. } = self.id;
        let channel = self.channel;
        self.handle.feed(|state, now| state.machine.extend_deadline(channel, epoch, sequence, lifetime, now))
    }

    fn wait(&self, goal: Goal) -> Waiting<&Self> {
        Waiting { receipt: self, goal, ticket: None }
    }

    /// An outcome, as soon as it may be told: a message whose end is this side's own word is over when the store knows.
    async fn stored(&self, outcome: Outcome) -> Outcome {
        if let Some(storing) = self.storing(&outcome) {
            storing.await;
        }
        outcome
    }

    fn storing(&self, outcome: &Outcome) -> Option<impl Future<Output = ()> + Send + 'static> {
        use Outcome::{Cancelled, Dropped, Expired, Superseded};
        let own = matches!(outcome, Cancelled | Dropped | Expired | Superseded);
        let state = own.then(|| self.handle.look())?;
        let (batch, durable) = (state.machine.last_batch(), state.machine.durable_batch());
        let handle = self.handle.clone();
        // When the session ends before, nothing more will be stored, and nothing more sent.
        (batch > durable).then_some(async move { drop(handle.durable(batch).await) })
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
        Handled { waiting: Waiting { receipt: self, goal: Goal::Resolved, ticket: None }, storing: None }
    }
}

/// Resolves when a message was handled, or says why not: what awaiting a [`Receipt`] does.
///
/// # Cancel safety
///
/// Dropping it is the same as dropping the receipt.
#[must_use = "futures do nothing unless awaited"]
pub struct Handled {
    waiting: Waiting<Receipt>,
    /// The end is known, and is being stored.
    storing: Option<(Outcome, BoxFuture<()>)>,
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handled").field(&self.waiting).finish()
    }
}

impl Future for Handled {
    type Output = Result<(), DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.storing.is_none() {
            let outcome = match ready!(Pin::new(&mut self.waiting).poll(cx)) {
                Progress::Resolved(outcome) => outcome,
                // The goal excludes these.
                Progress::Accepted | Progress::Partly { .. } | Progress::Received => Outcome::Unknown,
            };
            let Some(storing) = self.waiting.receipt.storing(&outcome) else {
                return Poll::Ready(outcome.into_result());
            };
            self.storing = Some((outcome, Box::pin(storing)));
        }
        let Some((outcome, storing)) = self.storing.as_mut() else { return Poll::Pending };
        ready!(storing.as_mut().poll(cx));
        Poll::Ready(outcome.clone().into_result())
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
        state.waiting.receipts.wait(*channel, message, this.goal.clone(), &mut this.ticket, cx.waker());
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
