//! Shows what happens: as JSON lines for programs, as lines for people. `examples/README.md` lists the events.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bowline::error::{CloseReason, Side};
use bowline::wire::Health;
use bowline::{Event, Fingerprint, SessionId};
use tokio::time::Instant;

use crate::json::Object;
use crate::summary::Summary;

/// Where everything is shown. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Show {
    json: bool,
    /// There is somebody to watch the progress.
    watched: bool,
    began: Instant,
    /// Whose events these are, where there are several sessions.
    session: Option<SessionId>,
}

impl Show {
    /// Times are counted from now.
    pub(crate) fn new(json: bool) -> Self {
        let watched = !json && io::stdout().is_terminal() && io::stderr().is_terminal();
        Self { json, watched, began: Instant::now(), session: None }
    }

    /// The same for the events of one of several sessions.
    pub(crate) fn of(&self, session: SessionId) -> Self {
        Self { session: Some(session), ..self.clone() }
    }

    pub(crate) fn listening(&self, addr: SocketAddr, fingerprint: Fingerprint) {
        let (addr, fingerprint) = (addr.to_string(), fingerprint.to_string());
        match self.json {
            true => {
                let line = Object::new().field("event", "listening").field("addr", addr);
                put(&format!("{}\n", line.field("fingerprint", fingerprint).json()));
            }
            false => put(&format!("listening on {addr} as {fingerprint}\n")),
        }
    }

    /// Something of this program itself.
    pub(crate) fn event(&self, name: &str) {
        self.line(name, Object::new());
    }

    /// The same, with what is to be said of it.
    pub(crate) fn event_with(&self, name: &str, more: Object) {
        self.line(name, more);
    }

    pub(crate) fn problem(&self, text: &str) {
        self.line("problem", Object::new().field("text", text));
    }

    /// What happens to a session.
    pub(crate) fn session(&self, event: &Event) {
        let some = Object::new();
        let (name, more) = match event {
            // It was shown when the session was made.
            Event::Connected => return,
            Event::PathChanged { former, remote } => {
                let line = some.field("former", former.to_string());
                ("path_changed", line.field("remote", remote.to_string()))
            }
            Event::Suspect => ("suspect", some),
            Event::Recovered => ("recovered", some),
            Event::Service(health) => ("service", some.field("health", health_name(*health))),
            Event::OwnService(health) => ("own_service", some.field("health", health_name(*health))),
            Event::Reconnecting { attempt, after } => {
                ("reconnecting", some.field("attempt", *attempt).field("after_ms", whole_ms(*after)))
            }
            Event::Resumed { replayed } => ("resumed", some.field("replayed", *replayed)),
            Event::Reset { undelivered, .. } => ("reset", some.field("undelivered", *undelivered)),
            Event::PeerOffline { pending } => ("peer_offline", some.field("pending", *pending)),
            Event::GaveUp => ("gave_up", some),
            Event::Lagged { missed } => ("lagged", some.field("missed", *missed)),
            Event::Closed(reason) => ("closed", closed(reason)),
            other => ("other", some.field("text", format!("{other:?}"))),
        };
        self.line(name, more);
    }

    /// How far a run is, for whoever watches.
    pub(crate) fn progress(&self, sent: u64, delivered: u64) {
        if self.watched {
            let seconds = self.began.elapsed().as_secs();
            // Without a progress line there is still a run.
            let _ = write!(io::stderr(), "\r{seconds} s: {sent} sent, {delivered} delivered \x1b[K");
        }
    }

    pub(crate) fn summary(&self, summary: &Summary) {
        match self.json {
            true => put(&format!("{}\n", summary.json())),
            false => put(&format!("{}{}", self.clear(), summary.table())),
        }
    }

    fn line(&self, name: &str, more: Object) {
        let more = match self.session {
            Some(session) => more.field("session", session.to_string()),
            None => more,
        };
        let elapsed = self.began.elapsed();
        if self.json {
            let line = Object::new().field("event", name).field("ms", whole_ms(elapsed));
            return put(&format!("{}\n", line.with(more).json()));
        }
        let words = visible(&more.words());
        put(&format!("{}{:8.3} s  {name} {words}\n", self.clear(), elapsed.as_secs_f64()));
    }

    /// What takes the progress away.
    fn clear(&self) -> &'static str {
        if self.watched { "\r\x1b[K" } else { "" }
    }
}

fn closed(reason: &CloseReason) -> Object {
    let side = match reason.side {
        Side::Local => "local",
        Side::Remote => "remote",
    };
    Object::new()
        .field("reason", snake_case(&format!("{:?}", reason.code)))
        .field("side", side)
        .field("clean", reason.clean)
        .field("text", reason.reason.as_str())
}

/// In one piece: a reader that sees anything of a line sees all of it. Who does not listen any more is no reason to end.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A peer may have had a word in it, and nobody but this program writes to the terminal.
fn visible(text: &str) -> String {
    let escaped = |c: char| match c {
        ' '..='~' => c.to_string(),
        _ => c.escape_debug().to_string(),
    };
    text.chars().map(escaped).collect()
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn health_name(health: Health) -> &'static str {
    match health {
        Health::Serving => "serving",
        Health::Stalled => "stalled",
        Health::Busy => "busy",
        Health::Draining => "draining",
    }
}

/// `ProtocolViolation` as programs know it.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars().filter(|c| c.is_ascii_alphanumeric()) {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_controls_a_terminal_is_shown() {
        assert_eq!(visible("\"é\u{9b}2J\u{202e}x\u{7f}\\\""), "\"é\\u{9b}2J\\u{202e}x\\u{7f}\\\"");
    }

    #[test]
    fn codes_are_lower_snake_case() {
        for (name, snake) in [("Normal", "normal"), ("WrongProof", "wrong_proof"), ("Other(99)", "other99")] {
            assert_eq!(snake_case(name), snake);
        }
    }
}
