//! The chat's messages as JSON.

/// One JSON spelling of the schema: the same types under other names.
macro_rules! spelling {
    ($module:ident, $doc:literal, $sent:literal, $body:literal, $text:literal, $presence:literal, $name:literal, $state:literal,
     $available:literal, $leaving:literal) => {
        #[doc = $doc]
        pub(crate) mod $module {
            use serde::{Deserialize, Serialize};

            use crate::Codec;
            use crate::content::{self, Said};

            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            pub(crate) struct Envelope {
                #[serde(rename = $sent)]
                sent_unix_ms: u64,
                #[serde(rename = $body)]
                body: Body,
            }

            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            enum Body {
                #[serde(rename = $text)]
                Text(Text),
                #[serde(rename = $presence)]
                Presence(Presence),
            }

            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            struct Text {
                #[serde(rename = $body)]
                body: String,
            }

            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            struct Presence {
                #[serde(rename = $name)]
                name: String,
                #[serde(rename = $state)]
                state: State,
            }

            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            enum State {
                #[serde(rename = $available)]
                Available,
                #[serde(rename = $leaving)]
                Leaving,
            }

            impl From<&Said> for Envelope {
                fn from(said: &Said) -> Self {
                    let body = match &said.body {
                        content::Body::Text(body) => Body::Text(Text { body: body.clone() }),
                        content::Body::Presence { name, state } => {
                            let state = match state {
                                content::State::Available => State::Available,
                                content::State::Leaving => State::Leaving,
                            };
                            Body::Presence(Presence { name: name.clone(), state })
                        }
                    };
                    Self { sent_unix_ms: said.sent_unix_ms, body }
                }
            }

            impl Codec for Envelope {
                fn encode(&self) -> Vec<u8> {
                    super::encode(self)
                }

                fn decode(bytes: &[u8]) -> Result<Self, String> {
                    serde_json::from_slice(bytes).map_err(|error| error.to_string())
                }
            }

            impl Codec for Vec<Envelope> {
                fn encode(&self) -> Vec<u8> {
                    super::encode(self)
                }

                fn decode(bytes: &[u8]) -> Result<Self, String> {
                    serde_json::from_slice(bytes).map_err(|error| error.to_string())
                }
            }
        }
    };
}

spelling!(
    readable,
    "With the names of the schema.",
    "sent_unix_ms",
    "body",
    "text",
    "presence",
    "name",
    "state",
    "available",
    "leaving"
);
spelling!(short, "With names of one letter.", "t", "b", "x", "p", "n", "s", "a", "l");

fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| unreachable!("these types have no such values: {error}"))
}
