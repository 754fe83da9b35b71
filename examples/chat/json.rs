//! A conversation for programs: one JSON object a line. `examples/README.md` lists the events and their fields.
//!
//! The event's name comes first in its line, so that a person can read along.

use std::io::{self, Write};

use bowline::Health;
use bowline::error::{CloseCode, CloseReason, Outcome, Side};
use serde_json::Value;

use crate::notice::{Notice, Presence};
use crate::ui::Page;

/// Writes notices as JSON lines.
#[derive(Debug, Default)]
pub(crate) struct JsonLines;

impl Page for JsonLines {
    fn show(&mut self, notice: &Notice, out: &mut dyn Write) -> io::Result<()> {
        if matches!(notice, Notice::Hint(_)) {
            return Ok(());
        }
        // In one piece: a reader that sees anything of a line sees all of it.
        out.write_all(line(notice).end().as_bytes())?;
        out.flush()
    }
}

/// What is said of a notice; more may be added.
pub(crate) fn line(notice: &Notice) -> Line {
    match notice {
        Notice::Listening { addr, fingerprint, .. } => {
            Line::new("listening").field("addr", addr.to_string()).field("fingerprint", fingerprint.as_str())
        }
        Notice::Connected { peer, resumed } => {
            Line::new("connected").field("peer", peer.as_str()).field("resumed", *resumed)
        }
        Notice::Accepted { id, text } => {
            Line::new("accepted").field("id", id.to_string()).field("text", text.as_str())
        }
        Notice::Received { id } => {
            Line::new("receipt").field("id", id.to_string()).field("outcome", "received")
        }
        Notice::Ended { id, outcome } => Line::new("receipt").field("id", id.to_string()).outcome(outcome),
        Notice::Message { id, from, text } => Line::new("message")
            .field("id", id.to_string())
            .field("from", from.as_str())
            .field("text", text.as_str()),
        Notice::Presence { name, presence } => {
            Line::new("presence").field("name", name.as_str()).field("state", presence_name(*presence))
        }
        Notice::Typing { active } => Line::new("typing").field("active", *active),
        Notice::Suspect => Line::new("suspect"),
        Notice::Recovered => Line::new("recovered"),
        Notice::Reconnecting { attempt, after } => Line::new("reconnecting")
            .field("attempt", *attempt)
            .field("after_ms", u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        Notice::Offline { pending } => Line::new("peer_offline").field("pending", *pending),
        Notice::Service(health) => Line::new("service").field("health", health_name(*health)),
        Notice::GaveUp => Line::new("gave_up"),
        Notice::PathChanged { remote } => Line::new("path_changed").field("remote", remote.to_string()),
        Notice::Reset { undelivered } => Line::new("reset").field("undelivered", *undelivered),
        Notice::Hint(text) => Line::new("hint").field("text", text.as_str()),
        Notice::Problem(text) => Line::new("problem").field("text", text.as_str()),
        Notice::Closed(reason) => Line::new("closed").close_reason(reason),
    }
}

/// A JSON object with its fields in the order in which they are added.
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new(event: &str) -> Self {
        Self("{".to_owned()).field("event", event)
    }

    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&format!("{}:{}", Value::from(name), value.into()));
        self
    }

    fn outcome(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Handled => self.field("outcome", "handled"),
            Outcome::Rejected { reason } => {
                self.field("outcome", "rejected").field("reason", reason.as_str())
            }
            // An outcome of a newer library is one that this program does not know either.
            _ => self.field("outcome", "unknown"),
        }
    }

    fn close_reason(self, CloseReason { code, side, clean, reason, .. }: &CloseReason) -> Self {
        let side = match side {
            Side::Local => "local",
            Side::Remote => "remote",
        };
        self.field("reason", code_name(*code))
            .field("side", side)
            .field("clean", *clean)
            .field("text", reason.as_str())
    }

    /// The whole line.
    pub(crate) fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

fn presence_name(presence: Presence) -> &'static str {
    match presence {
        Presence::Available => "available",
        Presence::Away => "away",
        Presence::Leaving => "leaving",
    }
}

fn code_name(code: CloseCode) -> String {
    let name = match code {
        CloseCode::Normal => "normal",
        CloseCode::ProtocolViolation => "protocol_violation",
        CloseCode::Superseded => "superseded",
        CloseCode::Expired => "expired",
        CloseCode::Unauthorized => "unauthorized",
        CloseCode::Busy => "busy",
        CloseCode::WrongProof => "wrong_proof",
        CloseCode::VersionMismatch => "version_mismatch",
        CloseCode::NoDatagrams => "no_datagrams",
        CloseCode::Dropped => "dropped",
        CloseCode::StoreFailed => "store_failed",
        CloseCode::Reattach => "reattach",
        other => return format!("other_{}", other.value()),
    };
    name.to_owned()
}

fn health_name(health: Health) -> &'static str {
    match health {
        Health::Serving => "serving",
        Health::Stalled => "stalled",
        Health::Busy => "busy",
        Health::Draining => "draining",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tally::tests::id;

    fn shown(notice: Notice) -> String {
        let mut out = Vec::new();
        JsonLines.show(&notice, &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
        serde_json::from_str::<Value>(&line).unwrap();
        line.trim_end().to_owned()
    }

    #[test]
    fn the_event_comes_first_and_the_fields_in_their_order() {
        let listening = Notice::Listening {
            addr: "127.0.0.1:4433".parse().unwrap(),
            fingerprint: "sha256:00".to_owned(),
            program: "chat".to_owned(),
        };
        assert_eq!(
            shown(listening),
            r#"{"event":"listening","addr":"127.0.0.1:4433","fingerprint":"sha256:00"}"#
        );
        let reconnecting = Notice::Reconnecting { attempt: 2, after: Duration::from_millis(1_900) };
        assert_eq!(shown(reconnecting), r#"{"event":"reconnecting","attempt":2,"after_ms":1900}"#);
        assert_eq!(shown(Notice::Suspect), r#"{"event":"suspect"}"#);
        let stalled = Notice::Service(Health::Stalled);
        assert_eq!(shown(stalled), r#"{"event":"service","health":"stalled"}"#);
    }

    #[test]
    fn texts_are_escaped() {
        let message = Notice::Message { id: id(1, 7), from: "ada".to_owned(), text: "\"\\é".to_owned() };
        let shown = shown(message);
        assert!(shown.ends_with(r#""from":"ada","text":"\"\\é"}"#), "{shown}");
        assert!(shown.contains("/7\""), "the id ends in the sequence: {shown}");
    }

    #[test]
    fn receipts_name_their_outcome() {
        let outcome = |outcome| shown(Notice::Ended { id: id(1, 0), outcome });
        assert!(shown(Notice::Received { id: id(1, 0) }).ends_with(r#","outcome":"received"}"#));
        assert!(outcome(Outcome::Handled).ends_with(r#","outcome":"handled"}"#));
        assert!(outcome(Outcome::Unknown).ends_with(r#","outcome":"unknown"}"#));
        let rejected = outcome(Outcome::Rejected { reason: "no".to_owned() });
        assert!(rejected.ends_with(r#","outcome":"rejected","reason":"no"}"#));
    }

    #[test]
    fn values_are_lower_snake_case() {
        let reason = |code| CloseReason {
            code,
            side: Side::Remote,
            clean: true,
            retry: false,
            reason: "bye".to_owned(),
        };
        assert_eq!(
            shown(Notice::Closed(reason(CloseCode::ProtocolViolation))),
            r#"{"event":"closed","reason":"protocol_violation","side":"remote","clean":true,"text":"bye"}"#
        );
        assert!(shown(Notice::Closed(reason(CloseCode::Other(99)))).contains(r#""reason":"other_99""#));
        for value in 0..20 {
            let name = code_name(CloseCode::from_value(value));
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
        }
    }
}
