//! The one place that reads the clock, and what wakes the proxy at a moment of it.
//!
//! Tokio's timers are good to a millisecond, which is too coarse for a proxy that delays packets by a few of them.
//! A thread that waits for a condition variable is woken within about 0.1 ms.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::time::Time;

/// Time since the proxy began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "the proxy lives in real time, and this is its clock")]
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    #[allow(clippy::disallowed_methods, reason = "the proxy lives in real time, and this is its clock")]
    pub(super) fn now(&self) -> Time {
        self.start.elapsed().into()
    }
}

/// Two alarms are at least this far apart: packets that come close together leave together, a little late.
const SPACING: Duration = Duration::from_micros(100);

/// Rings at a moment.
#[derive(Debug)]
pub(super) struct Alarm {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    clock: Clock,
    due: Mutex<Due>,
    changed: Condvar,
    rings: Arc<Notify>,
}

#[derive(Debug)]
struct Due {
    at: Option<Time>,
    /// Until when the thread sleeps if nobody wakes it.
    sleeps_until: Option<Time>,
    closed: bool,
}

impl Alarm {
    /// An alarm that notifies this. Fails if there is no thread for it.
    pub(super) fn new(clock: Clock, rings: Arc<Notify>) -> io::Result<Self> {
        let due = Mutex::new(Due { at: None, sleeps_until: None, closed: false });
        let state = Arc::new(State { clock, due, changed: Condvar::new(), rings });
        let of_thread = Arc::clone(&state);
        thread::Builder::new().name("netsim-alarm".into()).spawn(move || of_thread.run())?;
        Ok(Self { state })
    }

    /// It rings at this moment, or not at all, instead of what was set before.
    pub(super) fn set(&self, at: Option<Time>) {
        let mut due = self.state.lock();
        due.at = at;
        let is_sooner = at.is_some_and(|at| due.sleeps_until.is_none_or(|until| at < until));
        drop(due);
        if is_sooner {
            self.state.changed.notify_one();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.state.lock().closed = true;
        self.state.changed.notify_one();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut earliest = Time::ZERO;
        let mut due = self.lock();
        while !due.closed {
            let now = self.clock.now();
            due = match due.at.map(|at| at.max(earliest)) {
                None => {
                    due.sleeps_until = None;
                    self.changed.wait(due).unwrap_or_else(PoisonError::into_inner)
                }
                Some(at) if at <= now => {
                    due.at = None;
                    earliest = now + SPACING;
                    self.rings.notify_one();
                    due
                }
                Some(at) => {
                    due.sleeps_until = Some(at);
                    self.changed.wait_timeout(due, at - now).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
