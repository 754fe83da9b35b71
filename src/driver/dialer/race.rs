//! Several ways to the same end, of which the first to succeed wins (like RFC 8305).

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::driver::environment::{BoxFuture, Environment};
use crate::driver::link::Established;
use crate::error::ConnectError;

/// The head start that each attempt has over the next.
const STAGGER: Duration = Duration::from_millis(150);

/// When the same is tried a second time, beside the first. What was lost of a handshake that has not got far is sent again ever more
/// rarely, and a new one begins anew.
const AGAIN: Duration = Duration::from_millis(500);

/// Starts the attempts one after the other, the next one early if one has failed, and yields the first success; those of
/// `again` too, if nobody has an answer by then. When all have failed or `time` is over, it yields the failure that says most, if any says more than silence.
pub(super) async fn first(
    env: &Environment,
    time: Duration,
    attempts: Vec<BoxFuture<Result<Established, ConnectError>>>,
    mut again: Vec<BoxFuture<Result<Established, ConnectError>>>,
) -> Result<Established, Option<ConnectError>> {
    let mut waiting = attempts.into_iter();
    let mut running: Vec<_> = waiting.next().into_iter().collect();
    let mut next = env.new_timer(env.now() + STAGGER);
    let mut repeat = env.new_timer(env.now() + AGAIN);
    let mut end = env.new_timer(env.now() + time);
    let mut failure = None;
    poll_fn(|cx| {
        loop {
            let mut won = None;
            let before = running.len();
            running.retain_mut(|attempt| match attempt.as_mut().poll(cx) {
                _ if won.is_some() => false,
                Poll::Pending => true,
                Poll::Ready(Ok(established)) => {
                    won = Some(established);
                    false
                }
                Poll::Ready(Err(error)) => {
                    failure = Some(the_telling(failure.take(), error));
                    false
                }
            });
            if let Some(established) = won {
                return Poll::Ready(Ok(established));
            }
            // What was refused is not tried again.
            if !again.is_empty() && !running.is_empty() && repeat.as_mut().poll(cx).is_ready() {
                running.append(&mut again);
                continue;
            }
            let due = running.len() < before || next.as_mut().poll(cx).is_ready();
            match if due { waiting.next() } else { None } {
                Some(attempt) => {
                    running.push(attempt);
                    next.as_mut().reset(env.now() + STAGGER);
                }
                None if running.is_empty() => return Poll::Ready(Err(failure.take())),
                None if end.as_mut().poll(cx).is_ready() => {
                    return Poll::Ready(Err(failure.take().filter(|failure| rank(failure) > 1)));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

/// Of two failures the one that tells more about the peer: an address that does not answer says little beside one where
/// somebody else does.
fn the_telling(former: Option<ConnectError>, latter: ConnectError) -> ConnectError {
    match former {
        Some(former) if rank(&former) >= rank(&latter) => former,
        _ => latter,
    }
}

fn rank(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Refused(_) => 5,
        ConnectError::WrongFingerprint { .. } | ConnectError::Tls { .. } => 4,
        ConnectError::WrongProtocol { .. } | ConnectError::NoDatagrams { .. } => 3,
        ConnectError::Failed { .. } => 2,
        ConnectError::Unreachable { .. } => 1,
        _ => 0,
    }
}
