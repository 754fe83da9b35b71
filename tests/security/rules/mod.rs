//! What a peer does that breaks a rule of the wire specification, or only seems to, and what the other side does then.
//!
//! The security tests do this over the loopback interface, the simulation in virtual time over a bad network.
//!
//! | file | breaks |
//! |---|---|
//! | `attach` | what is said until a link is attached, and never again |
//! | `control` | control frames: their bytes, labels, ranges |
//! | `lanes` | what lanes may be, and news of what was never sent |
//! | `data` | data streams and records |
//! | `pieces` | bodies, datagrams and fragments, and how messages of each delivery may travel |
//! | `harmless` | nothing: what looks like a violation and is none |

pub(crate) mod attach;
pub(crate) mod control;
pub(crate) mod data;
pub(crate) mod harmless;
pub(crate) mod lanes;
pub(crate) mod pieces;

use bowline::Delivery;
use bowline::wire::{Control, Hello, Receiving, ReceivingLane, SendingLane, varint};
use quinn::VarInt;

use super::raw::{Claim, Link, lane, naming, sending};

/// What a peer does.
#[derive(Clone)]
pub(crate) enum Act {
    Say(Control),
    /// Bytes on the control stream.
    Write(Vec<u8>),
    /// These bytes made of a good Hello.
    Hello(fn(&Hello) -> Vec<u8>),
    /// Of a lane of the other side, in its epoch.
    News(ReceivingLane),
    FinishControl,
    ResetControl,
    /// STOP_SENDING for the other side's control stream.
    StopControl,
    /// A data stream that stays open.
    Stream(Vec<u8>),
    FinishedStream(Vec<u8>),
    ResetStream(Vec<u8>),
    Datagram(Vec<u8>),
}

/// What there is before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// A dialer that has opened its control stream.
    Stranger,
    /// An acceptor that has read the Hello.
    Hailed,
    Attached,
    /// The other side has opened "chat" so, and knows lane 0 under that label.
    Open(Delivery),
    /// The other side has sent one message in its lane 0.
    Sent,
}

/// Who can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Anyone,
    Dialer,
    Acceptor,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The link is closed with code 1 and a reason that has these words, and the session, if there is one, is over.
    Violation(&'static str),
    /// The link is closed with this code and these words, and no session comes of it.
    Refused(u64, &'static str),
    /// The link is closed with this code and these words, and the session goes on.
    Lost(u64, &'static str),
    /// Nothing.
    Ignored,
    /// Nothing, but that datagrams are dropped and counted.
    Counted,
}

/// One thing that a peer does.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The rules that it is about.
    pub(crate) rules: &'static str,
    pub(crate) by: By,
    pub(crate) scene: Scene,
    pub(crate) acts: Vec<Act>,
    pub(crate) then: Then,
}

/// Something that ends an attached session, whoever does it.
pub(crate) fn case(
    rules: &'static str,
    name: &'static str,
    acts: impl Into<Vec<Act>>,
    words: &'static str,
) -> Case {
    let (by, scene, then) = (By::Anyone, Scene::Attached, Then::Violation(words));
    Case { name, rules, by, scene, acts: acts.into(), then }
}

impl Case {
    pub(crate) fn by(self, by: By) -> Self {
        Self { by, ..self }
    }

    pub(crate) fn on(self, scene: Scene) -> Self {
        Self { scene, ..self }
    }

    pub(crate) fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    pub(crate) fn is_by(&self, by: By) -> bool {
        self.by == By::Anyone || self.by == by
    }

    pub(crate) fn words(&self) -> &'static str {
        match self.then {
            Then::Violation(words) | Then::Refused(_, words) | Then::Lost(_, words) => words,
            Then::Ignored | Then::Counted => "",
        }
    }
}

impl Act {
    pub(crate) async fn on(self, link: &mut Link) {
        match self {
            Self::Say(frame) => link.say(&frame).await,
            Self::Write(bytes) => link.say_bytes(&bytes).await,
            Self::Hello(bytes) => {
                let hello = Claim::new(0xEE).hello(link);
                link.say_bytes(&bytes(&hello)).await;
            }
            Self::News(lane) => {
                let epoch = link.peer_epoch.expect("it has said Hello or Welcome");
                link.say(&Control::Receiving(Receiving { epoch, lanes: vec![lane] })).await;
            }
            Self::FinishControl => link.control.finish().unwrap(),
            Self::ResetControl => link.control.reset(VarInt::from_u32(0)).unwrap(),
            Self::StopControl => link.answers.stop(VarInt::from_u32(0)).unwrap(),
            Self::Stream(bytes) => link.hold_data(&bytes).await,
            Self::FinishedStream(bytes) => link.open_data(&bytes).await.finish().unwrap(),
            // One that the connection is too short-lived for is as good as one that is lost on the way.
            Self::Datagram(bytes) => _ = link.connection.send_datagram(bytes.into()),
            Self::ResetStream(bytes) => {
                let mut stream = link.open_data(&bytes).await;
                if !bytes.is_empty() {
                    // What is reset before it is read was never said.
                    tokio::time::sleep(link.pause).await;
                }
                stream.reset(VarInt::from_u32(0)).unwrap();
            }
        }
    }
}

/// Names lane 0 as it is in [`Scene::Open`], and waits until the other side knows it.
pub(crate) async fn name_chat(link: &mut Link, delivery: Delivery) {
    naming_as(delivery).on(link).await;
    link.hear_of(0).await;
}

pub(crate) fn naming_as(delivery: Delivery) -> Act {
    said(SendingLane { delivery: Ok(delivery), ..lane(0, "chat") })
}

fn said(lane: SendingLane) -> Act {
    Act::Say(Control::Sending(sending([lane])))
}

fn on_chat(act: Act) -> [Act; 2] {
    [Act::Say(naming(0, "chat")), act]
}

pub(crate) fn varints(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|&value| varint::encode(value, &mut bytes));
    bytes
}

/// A control frame of these bytes.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    [&varints(&[body.len() as u64]), body].concat()
}

fn announced(size: u64) -> Act {
    Act::Write(varints(&[size]))
}

/// A protobuf field that holds a number.
fn number(field: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    leb128(u64::from(field) << 3, &mut bytes);
    leb128(value, &mut bytes);
    bytes
}

/// A protobuf field that holds bytes.
pub(crate) fn message(field: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    leb128((u64::from(field) << 3) | 2, &mut bytes);
    leb128(body.len() as u64, &mut bytes);
    [&bytes, body].concat()
}

/// A protobuf field of eight bytes.
fn fixed(field: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    leb128((u64::from(field) << 3) | 1, &mut bytes);
    [&bytes, value.to_le_bytes().as_slice()].concat()
}

fn leb128(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
