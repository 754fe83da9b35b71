//! Every frame of a link at the level TRACE, by its name in the specification and without anything that an application said.

use crate::wire::{Control, Frame};

/// A frame that the session is about to take.
pub(super) fn received(frame: &Frame) {
    match frame {
        Frame::Control(frame) => received_control(frame),
        Frame::Data(data) => {
            let (channel, sequence, bytes) = (data.channel, data.sequence, data.payload.len());
            tracing::trace!(frame = "Data", %channel, sequence, bytes, "received");
        }
        Frame::Body(body) => {
            let (channel, sequence, offset, bytes) =
                (body.channel, body.sequence, body.offset, body.bytes.len());
            tracing::trace!(frame = "Body", %channel, sequence, offset, bytes, "received");
        }
        Frame::Heartbeat(_) => tracing::trace!(frame = "Heartbeat", "received"),
    }
}

pub(super) fn received_control(frame: &Control) {
    tracing::trace!(frame = frame.name(), "received");
}

/// A frame that is about to be written.
pub(super) fn sent(frame: &Frame) {
    match frame {
        Frame::Control(frame) => sent_control(frame),
        Frame::Data(data) => {
            let (channel, sequence, bytes) = (data.channel, data.sequence, data.payload.len());
            tracing::trace!(frame = "Data", %channel, sequence, bytes, "sent");
        }
        Frame::Body(body) => {
            let (channel, sequence, offset, bytes) =
                (body.channel, body.sequence, body.offset, body.bytes.len());
            tracing::trace!(frame = "Body", %channel, sequence, offset, bytes, "sent");
        }
        Frame::Heartbeat(_) => tracing::trace!(frame = "Heartbeat", "sent"),
    }
}

pub(super) fn sent_control(frame: &Control) {
    tracing::trace!(frame = frame.name(), "sent");
}
