//! What travels on unidirectional streams: the lane of a channel, single messages, and large ones in pieces.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::outflow::Outflow;
use crate::wire::data::{BodyEncoder, RecordEncoder, RecordHead};
use crate::wire::{Body, Data, WireError};

/// What one packet can bring, roughly: so much of a lane's messages shares a stream that ends behind them. Nothing that is
/// together can be lost apart.
pub(super) const PARCEL: usize = 1100;

/// The stream of one channel, with its messages in order.
pub(super) struct Lane {
    pub(super) outflow: Outflow,
    encoder: RecordEncoder,
    /// When it was last written to, in turns.
    pub(super) used: u64,
}

impl Lane {
    /// A lane for a channel whose next message is `data`.
    pub(super) fn new(data: &Data, priority: i32) -> Self {
        let encoder = RecordEncoder::new(data.channel, data.sequence);
        Self { outflow: Outflow::new(priority), encoder, used: 0 }
    }

    pub(super) fn push(&mut self, data: Data) -> Result<(), WireError> {
        self.encoder.put(self.outflow.head(), &RecordHead::from(&data))?;
        self.outflow.add(data.payload);
        Ok(())
    }
}

/// Messages of one channel on streams of their own, one stream after the other.
#[derive(Default)]
pub(super) struct Parcels {
    /// Written in this order; the last one may still be added to.
    pub(super) outflows: VecDeque<Outflow>,
    open: Option<Open>,
}

/// What else would fit into the last parcel.
struct Open {
    encoder: RecordEncoder,
    left: usize,
}

impl Parcels {
    pub(super) fn push(&mut self, data: Data, priority: i32) -> Result<(), WireError> {
        let head = RecordHead::from(&data);
        let mut bytes = BytesMut::new();
        if let Some(open) = &mut self.open
            && let Some(outflow) = self.outflows.back_mut()
            && data.payload.len() < open.left
            && data.sequence >= open.encoder.next_sequence()
        {
            let before = open.encoder.clone();
            open.encoder.put(&mut bytes, &head)?;
            match open.left.checked_sub(bytes.len() + data.payload.len()) {
                Some(left) => {
                    open.left = left;
                    outflow.head().extend_from_slice(&bytes);
                    outflow.add(data.payload);
                    return Ok(());
                }
                None => {
                    open.encoder = before;
                    bytes.clear();
                }
            }
        }
        let mut encoder = RecordEncoder::new(data.channel, data.sequence);
        encoder.put(&mut bytes, &head)?;
        let left = PARCEL.checked_sub(bytes.len() + data.payload.len());
        self.open = left.map(|left| Open { encoder, left });
        let mut outflow = Outflow::new(priority);
        outflow.head().extend_from_slice(&bytes);
        outflow.add(data.payload);
        // It does no harm to end one that is added to before it is written.
        outflow.end();
        self.outflows.push_back(outflow);
        Ok(())
    }

    /// The parcel to be written now, which nothing is added to any more.
    pub(super) fn front(&mut self) -> Option<&mut Outflow> {
        if self.outflows.len() == 1 {
            self.open = None;
        }
        self.outflows.front_mut()
    }
}

/// The stream of one large message.
pub(super) struct Pieces {
    pub(super) outflow: Outflow,
    encoder: BodyEncoder,
}

impl Pieces {
    pub(super) fn new(priority: i32) -> Self {
        Self { outflow: Outflow::new(priority), encoder: BodyEncoder::new() }
    }

    pub(super) fn push(&mut self, mut body: Body) -> Result<(), WireError> {
        self.encoder.put(self.outflow.head(), &body)?;
        let bytes: Bytes = std::mem::take(&mut body.bytes);
        self.outflow.add(bytes);
        if self.encoder.is_whole() {
            self.outflow.end();
        }
        Ok(())
    }
}
