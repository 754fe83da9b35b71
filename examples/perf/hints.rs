//! Hints from whoever started a run: what an operating system would tell an application.

use std::io::{BufRead, stdin};
use std::thread;

use bowline::Session;

use crate::json::Object;
use crate::show::Show;

/// Takes hints from standard input, one a line, until it ends.
pub(crate) fn take(session: Session, show: Show) {
    // A thread of its own: nobody waits for a reader when the program ends.
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            match line.trim() {
                "network-changed" => session.network_changed(),
                "reconnect" => session.reconnect(),
                other => {
                    show.problem(&format!("{other:?} is no hint: there are network-changed and reconnect"));
                    continue;
                }
            }
            show.event_with("hint", Object::new().field("given", line.trim()));
        }
    });
}
