//! What `docs/protobuf-and-json.md` compares: the same things said in three formats.
//!
//! The protobuf is that of the example `chat`. The JSON mirrors it field by field, once with the names of the schema and once
//! with names of one letter, as one would write it for `serde_json`: structs and externally tagged enums, derived.

mod content;
mod json;
mod measure;

pub use content::{Body, Said, Sample, State};
pub use measure::{Size, Time, size, time};

use prost::Message as _;

/// The schema `proto/chat/v1`, as the example has it.
pub mod chat {
    #![allow(
        clippy::all,
        missing_docs,
        unreachable_pub,
        reason = "what the generator writes follows no style but its own"
    )]
    include!("../../examples/chat/generated/chat.v1.rs");
}

/// Many lines at once. The schema of the example has no such message: it sends each line on its own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct History {
    /// The lines.
    #[prost(message, repeated, tag = "1")]
    pub lines: Vec<chat::Envelope>,
}

/// A value that can be written and read in its format.
pub trait Codec: Sized + PartialEq + std::fmt::Debug {
    /// To bytes.
    fn encode(&self) -> Vec<u8>;

    /// And back.
    fn decode(bytes: &[u8]) -> Result<Self, String>;
}

macro_rules! protobuf {
    ($($message:ty),*) => {$(
        impl Codec for $message {
            fn encode(&self) -> Vec<u8> {
                self.encode_to_vec()
            }

            fn decode(bytes: &[u8]) -> Result<Self, String> {
                <Self as prost::Message>::decode(bytes).map_err(|error| error.to_string())
            }
        }
    )*};
}
protobuf!(chat::Envelope, History);

/// Is shown each sample in each format.
pub trait Visitor {
    /// One of them.
    fn visit<T: Codec>(&mut self, sample: &Sample, format: &'static str, value: &T);
}

/// The formats, as they are called everywhere.
pub const FORMATS: [&str; 3] = ["protobuf", "JSON", "JSON, short names"];

/// Shows everything to the visitor.
pub fn for_each(visitor: &mut impl Visitor) {
    let [protobuf, readable, short] = FORMATS;
    for sample in Sample::all() {
        if let [line] = sample.lines.as_slice() {
            visitor.visit(&sample, protobuf, &chat::Envelope::from(line));
            visitor.visit(&sample, readable, &json::readable::Envelope::from(line));
            visitor.visit(&sample, short, &json::short::Envelope::from(line));
        } else {
            let lines = sample.lines.iter();
            visitor.visit(&sample, protobuf, &History { lines: lines.clone().map(Into::into).collect() });
            visitor.visit(
                &sample,
                readable,
                &lines.clone().map(Into::into).collect::<Vec<json::readable::Envelope>>(),
            );
            visitor.visit(&sample, short, &lines.map(Into::into).collect::<Vec<json::short::Envelope>>());
        }
    }
}

impl From<&Said> for chat::Envelope {
    fn from(said: &Said) -> Self {
        use chat::envelope::Body as To;
        let body = match &said.body {
            Body::Text(body) => To::Text(chat::Text { body: body.clone() }),
            Body::Presence { name, state } => {
                let state = match state {
                    State::Available => chat::presence::State::Available,
                    State::Leaving => chat::presence::State::Leaving,
                };
                To::Presence(chat::Presence { name: name.clone(), state: state.into() })
            }
        };
        Self { sent_unix_ms: said.sent_unix_ms, body: Some(body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_gives_back_what_was_said() {
        struct Back(Vec<&'static str>);
        impl Visitor for Back {
            fn visit<T: Codec>(&mut self, sample: &Sample, format: &'static str, value: &T) {
                assert_eq!(&T::decode(&value.encode()).unwrap(), value, "{} as {format}", sample.name);
                self.0.push(format);
            }
        }
        let mut back = Back(Vec::new());
        for_each(&mut back);
        assert_eq!(back.0, [FORMATS; 5].concat());
    }

    #[test]
    fn the_document_has_the_sizes_that_are() {
        struct Rows(Vec<String>);
        impl Visitor for Rows {
            fn visit<T: Codec>(&mut self, sample: &Sample, format: &'static str, value: &T) {
                if format == FORMATS[0] {
                    self.0.push(format!("| {} |", sample.name));
                }
                let Size { bytes, gzipped } = size(value);
                self.0.last_mut().unwrap().push_str(&format!(" {bytes} ({gzipped}) |"));
            }
        }
        let mut rows = Rows(Vec::new());
        for_each(&mut rows);
        let document = include_str!("../../docs/protobuf-and-json.md");
        for row in rows.0 {
            assert!(document.contains(&row), "docs/protobuf-and-json.md lacks this row:\n{row}");
        }
    }
}
