//! What peers say, to bytes and back. Schema: `proto/chat/v1/chat.proto`.
//!
//! What comes in was written by a stranger: it is decoded or refused, and its texts are cleaned, here and
//! nowhere else.

use bytes::Bytes;
use prost::Message as _;

use crate::generated as schema;
use crate::notice::Presence;
use crate::text;

/// One thing said by a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A message.
    Text(String),
    /// It writes, or has stopped writing.
    Typing(bool),
    /// Who it says it is, if it gave a name, and whether it will answer.
    Presence { name: Option<String>, presence: Presence },
    /// Something that only a newer version knows.
    Unknown,
}

/// A message.
pub(crate) fn text(body: &str) -> Bytes {
    encode(schema::envelope::Body::Text(schema::Text { body: body.to_owned() }))
}

/// Whether this side writes.
pub(crate) fn typing(active: bool) -> Bytes {
    encode(schema::envelope::Body::Typing(schema::Typing { active }))
}

/// Who this side is.
pub(crate) fn presence(name: &str, presence: Presence) -> Bytes {
    let state = match presence {
        Presence::Available => schema::presence::State::Available,
        Presence::Away => schema::presence::State::Away,
        Presence::Leaving => schema::presence::State::Leaving,
    };
    let name = name.to_owned();
    encode(schema::envelope::Body::Presence(schema::Presence { name, state: state.into() }))
}

fn encode(body: schema::envelope::Body) -> Bytes {
    schema::Envelope { sent_unix_ms: unix_ms(), body: Some(body) }.encode_to_vec().into()
}

#[allow(clippy::disallowed_methods, reason = "the time of day is part of what is said")]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a payload says; the error is told to the peer.
pub(crate) fn decode(payload: Bytes) -> Result<Said, String> {
    let envelope =
        schema::Envelope::decode(payload).map_err(|error| format!("not a chat.v1.Envelope: {error}"))?;
    Ok(match envelope.body {
        None => Said::Unknown,
        Some(schema::envelope::Body::Text(said)) => Said::Text(text::clean(&said.body)),
        Some(schema::envelope::Body::Typing(typing)) => Said::Typing(typing.active),
        Some(schema::envelope::Body::Presence(said)) => Said::Presence {
            name: text::name(&said.name),
            presence: match said.state() {
                schema::presence::State::Leaving => Presence::Leaving,
                schema::presence::State::Away => Presence::Away,
                schema::presence::State::Available | schema::presence::State::Unspecified => {
                    Presence::Available
                }
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        assert_eq!(decode(text("héllo")), Ok(Said::Text("héllo".to_owned())));
        assert_eq!(decode(typing(true)), Ok(Said::Typing(true)));
        for state in [Presence::Available, Presence::Away, Presence::Leaving] {
            let said = Said::Presence { name: Some("ada".to_owned()), presence: state };
            assert_eq!(decode(presence("ada", state)), Ok(said));
        }
    }

    #[test]
    fn texts_and_names_are_clean() {
        assert_eq!(decode(text("\u{1b}[2Jhi")), Ok(Said::Text("hi".to_owned())));
        let nameless = Said::Presence { name: None, presence: Presence::Available };
        assert_eq!(decode(presence("\u{202e}", Presence::Available)), Ok(nameless));
    }

    #[test]
    fn noise_is_refused_with_a_reason() {
        for noise in [&b"\xff\xff\xff"[..], b"\x12\x7f", b"\x12\x03\x0a\x01\xff"] {
            let refused = decode(Bytes::from_static(noise)).unwrap_err();
            assert!(refused.starts_with("not a chat.v1.Envelope: "), "{refused}");
        }
    }

    #[test]
    fn a_newer_peer_may_say_more() {
        assert_eq!(decode(Bytes::new()), Ok(Said::Unknown));
        // Field 15, which this version does not have.
        assert_eq!(decode(Bytes::from_static(b"\x7a\x02hi")), Ok(Said::Unknown));
        let schema_of_tomorrow = schema::Presence { name: "ada".to_owned(), state: 99 };
        let said = decode(encode(schema::envelope::Body::Presence(schema_of_tomorrow)));
        let expected = Said::Presence { name: Some("ada".to_owned()), presence: Presence::Available };
        assert_eq!(said, Ok(expected));
    }
}
