//! Every frame of a link at the level TRACE, by its name in the specification and without anything that an application said.

use std::fmt;

use crate::wire::{Control, Frame};

/// Where a frame is.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// About to be written.
    Sent,
    /// About to be taken by the session.
    Received,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sent => "sent",
            Self::Received => "received",
        })
    }
}

pub(super) fn frame(way: Way, frame: &Frame) {
    match frame {
        Frame::Control(frame) => control(way, frame),
        Frame::Data(data) => {
            let (channel, sequence, bytes) = (data.channel, data.sequence, data.payload.len());
            tracing::trace!(frame = "Data", %channel, sequence, bytes, "{way}");
        }
        Frame::Body(body) => {
            let (channel, sequence, offset, bytes) =
                (body.channel, body.sequence, body.offset, body.bytes.len());
            tracing::trace!(frame = "Body", %channel, sequence, offset, bytes, "{way}");
        }
        Frame::Heartbeat(_) => tracing::trace!(frame = "Heartbeat", "{way}"),
    }
}

pub(super) fn control(way: Way, frame: &Control) {
    tracing::trace!(frame = frame.name(), "{way}");
}
