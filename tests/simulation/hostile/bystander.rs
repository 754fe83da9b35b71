//! The session beside: honest programs at both ends of it, who talk all the time and write down what comes of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline::{Channel, ChannelConfig, Delivery, Inbox, Outcome, Session};
use bowline_netsim::Time;
use bytes::Bytes;

use super::soon;
use crate::world::Ends;

/// Between two messages of a lane.
const GAP: Duration = Duration::from_millis(60);

const LANES: [(&str, Delivery); 2] =
    [("ordered", Delivery::ReliableOrdered), ("unordered", Delivery::ReliableUnordered)];

/// See the module.
pub(super) struct Bystander {
    sessions: [Session; 2],
    notes: Arc<Notes>,
    talkers: Vec<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
struct Notes {
    over: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sent: u64,
    handed: u64,
    handled: u64,
    longest: Duration,
    found: Vec<String>,
}

impl Notes {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bystander {
    /// Begins to talk, both ways.
    pub(super) async fn of(ends: &Ends, sessions: [Session; 2]) -> Self {
        let (notes, mut talkers) = (Arc::<Notes>::default(), Vec::new());
        for session in &sessions {
            for (label, delivery) in LANES {
                let (channel, inbox) = session.open(label, ChannelConfig::new(delivery)).await.unwrap();
                talkers.push(tokio::spawn(talk(ends.clone(), channel, notes.clone())));
                tokio::spawn(listen(ends.clone(), inbox, delivery, notes.clone()));
            }
        }
        Self { sessions, notes, talkers }
    }

    /// Says no more, and waits for all that was said. What was wrong with it, and how long anybody waited; or how many
    /// messages there were.
    pub(super) async fn end(self, patience: Duration) -> (Vec<String>, u64, Duration) {
        self.notes.over.store(true, Ordering::Relaxed);
        for talker in self.talkers {
            soon(talker).await.expect("a talker does not panic");
        }
        // Nobody is told of what comes twice, so it has the time to come.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut found = Vec::new();
        for session in &self.sessions {
            let stats = session.stats();
            if stats.attaches != 1 {
                found.push(format!("the bystander attached {} times", stats.attaches));
            }
        }
        let inner = self.notes.inner();
        found.extend(inner.found.iter().cloned());
        if inner.sent != inner.handed || inner.sent != inner.handled {
            let (sent, handed, handled) = (inner.sent, inner.handed, inner.handled);
            found.push(format!("of {sent} messages {handed} were handed over, and {handled} handled"));
        }
        if inner.longest > patience {
            found.push(format!("the bystander waited for {:?}, limit {patience:?}", inner.longest));
        }
        (found, inner.sent, inner.longest)
    }
}

async fn talk(ends: Ends, channel: Channel, notes: Arc<Notes>) {
    let mut receipts = Vec::new();
    for serial in 0u64.. {
        if notes.over.load(Ordering::Relaxed) {
            break;
        }
        let payload = [serial, ends.now().as_nanos()].map(u64::to_le_bytes).concat();
        receipts.push(channel.send(Bytes::from(payload)).await.expect("the session lives"));
        notes.inner().sent += 1;
        tokio::time::sleep(GAP).await;
    }
    for receipt in receipts {
        match soon(receipt.outcome()).await {
            Outcome::Handled => notes.inner().handled += 1,
            other => notes.inner().found.push(format!("{}: {other:?}", receipt.id())),
        }
    }
}

async fn listen(ends: Ends, mut inbox: Inbox, delivery: Delivery, notes: Arc<Notes>) {
    let mut next = 0;
    let mut seen = std::collections::BTreeSet::new();
    while let Some(message) = inbox.recv().await {
        let word = |at: usize| {
            let bytes = message.payload().get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).expect("it has 16 bytes")
        };
        let (serial, sent) = (word(0), Time::ZERO + Duration::from_nanos(word(8)));
        let mut inner = notes.inner();
        inner.handed += 1;
        inner.longest = inner.longest.max(ends.now().since(sent));
        if !seen.insert(serial) {
            inner.found.push(format!("{serial} came twice"));
        }
        if delivery == Delivery::ReliableOrdered && serial != next {
            inner.found.push(format!("{serial} came where {next} was due"));
        }
        next = serial + 1;
    }
}
