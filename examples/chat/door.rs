//! Who may come in: one guest at a time, and everyone else is told why not.
//!
//! The library brings a guest's session back after a lost connection by itself; only new sessions knock here. So
//! a guest that knocks again has lost its memory, and takes the place of what it was: the endpoint allows one session
//! for each identity, and ends the older one as superseded.

use std::time::Duration;

use bowline::tls::Fingerprint;
use bowline::{Endpoint, Session};
use tokio::sync::{mpsc, watch};

/// A guest that knocks while another is on its way out waits so long for the seat.
const COURTESY: Duration = Duration::from_millis(500);

/// The door of a listening endpoint.
pub(crate) struct Door {
    guests: mpsc::Receiver<Guest>,
    seat: watch::Sender<Option<Seat>>,
}

/// A peer that was let in.
pub(crate) struct Guest {
    pub(crate) session: Session,
    /// Its fingerprint, or that it has none.
    pub(crate) name: String,
    /// To be given back when it has left.
    pub(crate) ticket: Ticket,
}

/// Tells one visit from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Who has the only seat.
#[derive(Clone, Copy)]
struct Seat {
    fingerprint: Option<Fingerprint>,
    ticket: Ticket,
}

impl Door {
    /// Opens the door; it closes with the endpoint.
    pub(crate) fn open(endpoint: Endpoint) -> Self {
        let (let_in, guests) = mpsc::channel(1);
        let seat = watch::Sender::new(None);
        tokio::spawn(keep(endpoint, seat.clone(), let_in));
        Self { guests, seat }
    }

    /// The next guest; the seat is its own until [`free`](Self::free). Cancel-safe. `None`: the endpoint is closed.
    pub(crate) async fn guest(&mut self) -> Option<Guest> {
        self.guests.recv().await
    }

    /// The guest has left. If it has knocked again meanwhile, the seat is its next visit's already.
    pub(crate) fn free(&self, ticket: Ticket) {
        self.seat.send_if_modified(|seat| seat.take_if(|seat| seat.ticket == ticket).is_some());
    }
}

async fn keep(endpoint: Endpoint, seat: watch::Sender<Option<Seat>>, let_in: mpsc::Sender<Guest>) {
    for ticket in (0..).map(Ticket) {
        let Some(incoming) = endpoint.accept().await else { return };
        let fingerprint = incoming.peer().map(|peer| peer.fingerprint());
        if !is_welcome(fingerprint, &seat).await {
            incoming.refuse("busy: one guest at a time, try again later");
            continue;
        }
        // Taken before the session is made, so that nobody else is let in meanwhile.
        let before = seat.send_replace(Some(Seat { fingerprint, ticket }));
        let Ok(session) = incoming.accept().await else {
            // The dialer has left already; it may come again.
            seat.send_replace(before);
            continue;
        };
        let name = fingerprint.map_or("anonymous".to_owned(), |fingerprint| fingerprint.to_string());
        if let_in.send(Guest { session, name, ticket }).await.is_err() {
            return;
        }
    }
}

async fn is_welcome(fingerprint: Option<Fingerprint>, seat: &watch::Sender<Option<Seat>>) -> bool {
    let mut taken = seat.subscribe();
    let comes_again = |seat: &Seat| fingerprint.is_some() && seat.fingerprint == fingerprint;
    if taken.borrow().as_ref().is_some_and(comes_again) {
        return true;
    }
    tokio::time::timeout(COURTESY, taken.wait_for(Option::is_none)).await.is_ok_and(|free| free.is_ok())
}
