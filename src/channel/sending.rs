//! A message finds room in the outbox, or waits for it in line, for as long as it is worth anything.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use super::Sender;
use crate::config::{SendOptions, WhenFull};
use crate::driver::environment::Timer;
use crate::driver::waiting::Ticket;
use crate::error::SendError;
use crate::protocol::machine::Accepted;

impl Sender {
    /// Sends as soon as there is room, if the channel waits for that.
    pub(super) fn accept(&self, payload: Bytes, options: SendOptions) -> Result<Sending<'_>, SendError> {
        let deadline = self.deadline(options)?;
        Ok(Sending { sender: self, payload, deadline, ticket: None, timer: None })
    }

    /// Sends now, or not at all.
    pub(super) fn try_accept(&self, payload: Bytes, options: SendOptions) -> Result<Accepted, SendError> {
        let deadline = self.deadline(options)?;
        self.handle.feed(|state, now| {
            if state.waiting.senders.get(&self.key).is_some_and(|line| !line.is_empty()) {
                let stats = state.machine.channel_stats(self.key, now).unwrap_or_default();
                return Err(SendError::Full { messages: stats.outbox_messages, bytes: stats.outbox_bytes });
            }
            state.machine.send(self.key, payload, until(deadline), now)
        })
    }
}

/// What the machine is told: never a time span, because a part of it may have been spent in line.
fn until(deadline: Option<Instant>) -> SendOptions {
    match deadline {
        Some(deadline) => SendOptions::new().deadline_at(deadline),
        None => SendOptions::new().no_deadline(),
    }
}

/// Waits for room, in line, and sends.
pub(super) struct Sending<'a> {
    sender: &'a Sender,
    payload: Bytes,
    deadline: Option<Instant>,
    /// The place in the line, once there is one.
    ticket: Option<Ticket>,
    /// Rings at the deadline. Made for those who wait only.
    timer: Option<Timer>,
}

impl Sending<'_> {
    /// Sends if it is this one's turn and there is room, unless it is too late; else takes a place in the line.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted, SendError>> {
        let Sender { handle, key, when_full, .. } = self.sender;
        let (result, next) = handle.feed(|state, now| {
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                let next = state.waiting.leave_line(*key, &mut self.ticket);
                return (Poll::Ready(Err(SendError::DeadlinePassed)), next);
            }
            let line = state.waiting.senders.get(key);
            if line.is_none_or(|line| line.is_turn_of(self.ticket)) {
                match state.machine.send(*key, self.payload.clone(), until(self.deadline), now) {
                    Err(SendError::Full { .. }) if *when_full == WhenFull::Wait => {}
                    result => return (Poll::Ready(result), state.waiting.leave_line(*key, &mut self.ticket)),
                }
            }
            let line = state.waiting.senders.entry(*key).or_default();
            line.wait(&mut self.ticket, cx.waker());
            (Poll::Pending, None)
        });
        if let Some(next) = next {
            next.wake();
        }
        result
    }

    /// Rings when waiting makes no sense any more.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let env = &self.sender.handle.env;
        self.timer.get_or_insert_with(|| env.new_timer(deadline)).as_mut().poll(cx)
    }

    fn leave_line(&mut self) {
        if self.ticket.is_some() {
            let Sender { handle, key, .. } = self.sender;
            let next = handle.look().waiting.leave_line(*key, &mut self.ticket);
            if let Some(next) = next {
                next.wake();
            }
        }
    }
}

impl Future for Sending<'_> {
    type Output = Result<Accepted, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(result) = this.poll_room(cx) {
            return Poll::Ready(result);
        }
        this.poll_deadline(cx).map(|()| {
            this.leave_line();
            Err(SendError::DeadlinePassed)
        })
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.leave_line();
    }
}
