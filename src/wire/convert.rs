//! Frames to generated protobuf and back. What comes back has been checked: every length, order and range that
//! the types of [`frame`](super::frame) promise (rules W6 and W7).

use super::control::{MAX_EXTENDED, MAX_LANES, MAX_PARTIAL, MAX_RANGES, MAX_VERDICTS};
use super::data::MAX_SEQUENCE;
use super::generated::{self as pb, control::Frame as Wire, receiving, retry, sending};
use super::{
    AddressSeen, Close, Confirm, Control, Extension, Hello, MAX_CONTROL, MAX_CREDENTIALS, MAX_LABEL,
    MAX_PROBE_MS, MAX_REASON, PeerLimits, Probe, Receiving, ReceivingLane, Refuse, Retry, Secret, Sending,
    SendingLane, Verdict, Welcome, Why, WireError, varint,
};
use crate::config::Delivery;
use crate::id::{ChannelId, Epoch, Sequence, SessionId};

// ---- To the wire ----

/// Bytes of lanes in one frame; the frame's own fields are in what remains to [`MAX_CONTROL`].
const LANES_BYTES: usize = MAX_CONTROL - 64;

/// How much of each set goes into one piece of a lane. A piece of `Receiving` is then at most 1,000 ranges of 22 bytes,
/// 64 verdicts of 284, 1,024 partial messages of 22, and 350 bytes of the rest; one of `Sending` 500 ranges and 1,000
/// extensions of 22 bytes, and 300 bytes of the rest: all less than [`LANES_BYTES`].
const PIECE_RANGES: usize = 500;
const PIECE_VERDICTS: usize = 64;
const PIECE_EXTENDED: usize = 1000;
/// All together: a sender resumes large messages where the first piece on a link says.
const PIECE_PARTIAL: usize = MAX_PARTIAL;

/// Gives `emit` the one frame that says this, or the several.
pub(super) fn to_wire(control: &Control, mut emit: impl FnMut(Wire)) {
    match control {
        Control::Hello(hello) => emit(Wire::Hello(hello_to_wire(hello))),
        Control::Welcome(welcome) => emit(Wire::Welcome(pb::Welcome {
            version: welcome.version,
            epoch: welcome.epoch.value(),
            counter: welcome.counter,
            limits: Some(limits_to_wire(welcome.limits)),
            durable: welcome.durable,
        })),
        Control::Confirm(Confirm { counter, durable }) => {
            emit(Wire::Confirm(pb::Confirm { counter: *counter, durable: *durable }));
        }
        Control::Retry(retry) => emit(Wire::Retry(pb::Retry {
            why: Some(match retry {
                Retry::Stale(last) => retry::Why::Stale(*last),
                Retry::Forgotten => retry::Why::Forgotten(true),
            }),
        })),
        Control::Refuse(refuse) => emit(Wire::Refuse(pb::Refuse {
            code: refuse.code,
            reason: cut(&refuse.reason).to_owned(),
            retry: refuse.retry,
        })),
        Control::Sending(Sending { epoch, clock_ms, lanes }) => {
            let (epoch, clock_ms) = (epoch.value(), *clock_ms);
            let pieces = lanes.iter().flat_map(sending_lane_to_wire);
            pack(pieces, |lanes| emit(Wire::Sending(pb::Sending { epoch, lanes, clock_ms })));
        }
        Control::Receiving(Receiving { epoch, lanes }) => {
            let epoch = epoch.value();
            let pieces = lanes.iter().flat_map(receiving_lane_to_wire);
            pack(pieces, |lanes| emit(Wire::Receiving(pb::Receiving { epoch, lanes })));
        }
        Control::Close(Close { code, reason }) => {
            emit(Wire::Close(pb::Close { code: *code, reason: cut(reason).to_owned() }));
        }
        Control::CloseAck => emit(Wire::CloseAck(pb::CloseAck {})),
        Control::Probe(Probe { answer_after_ms }) => {
            emit(Wire::Probe(pb::Probe { answer_after_ms: *answer_after_ms }));
        }
        Control::ProbeAnswer => emit(Wire::ProbeAnswer(pb::ProbeAnswer {})),
        Control::AddressSeen(AddressSeen { changes }) => {
            emit(Wire::AddressSeen(pb::AddressSeen { changes: *changes }));
        }
        Control::Presence { away } => emit(Wire::Presence(pb::Presence { away: *away })),
    }
}

/// Fills frames with lanes up to the limits.
fn pack<L: prost::Message>(lanes: impl Iterator<Item = L>, mut emit: impl FnMut(Vec<L>)) {
    let mut frame = Vec::new();
    let mut bytes = 0;
    for lane in lanes {
        let size = lane.encoded_len();
        let size = 1 + prost::length_delimiter_len(size) + size;
        if !frame.is_empty() && (bytes + size > LANES_BYTES || frame.len() == MAX_LANES) {
            emit(std::mem::take(&mut frame));
            bytes = 0;
        }
        bytes += size;
        frame.push(lane);
    }
    emit(frame);
}

fn hello_to_wire(hello: &Hello) -> pb::Hello {
    pb::Hello {
        version_min: hello.version_min,
        version_max: hello.version_max,
        session: hello.session.as_bytes().to_vec().into(),
        secret: hello.secret.as_ref().map(|Secret(bytes)| bytes.to_vec().into()).unwrap_or_default(),
        epoch: hello.epoch.value(),
        peer_epoch: hello.peer_epoch.map_or(0, Epoch::value),
        counter: hello.counter,
        proof: hello.proof.to_vec().into(),
        limits: Some(limits_to_wire(hello.limits)),
        credentials: hello.credentials.clone(),
    }
}

fn limits_to_wire(limits: PeerLimits) -> pb::Limits {
    pb::Limits { max_message_size: limits.max_message_size, max_channels: limits.max_channels }
}

/// One piece, or several when the sets are long.
fn sending_lane_to_wire(lane: &SendingLane) -> impl Iterator<Item = sending::Lane> {
    let mut skipped = lane.skipped.chunks(PIECE_RANGES);
    let mut extended = lane.extended.chunks(PIECE_EXTENDED);
    let mut begun = false;
    std::iter::from_fn(move || {
        let (skipped, extended) = (skipped.next(), extended.next());
        if begun && (skipped, extended) == (None, None) {
            return None;
        }
        begun = true;
        let extension =
            |&Extension { sequence, left_ms }: &Extension| sending::Extension { sequence, left_ms };
        Some(sending::Lane {
            channel: lane.channel.0,
            label: lane.label.clone(),
            delivery: match lane.delivery {
                Ok(delivery) => delivery_to_wire(delivery).into(),
                Err(unknown) => unknown,
            },
            floor: lane.floor,
            end: lane.end,
            skipped: ranges_to_wire(skipped.unwrap_or_default()),
            extended: extended.unwrap_or_default().iter().map(extension).collect(),
        })
    })
}

fn delivery_to_wire(delivery: Delivery) -> pb::Delivery {
    match delivery {
        Delivery::Unreliable => pb::Delivery::Unreliable,
        Delivery::UnreliableSequenced => pb::Delivery::UnreliableSequenced,
        Delivery::ReliableUnordered => pb::Delivery::ReliableUnordered,
        Delivery::ReliableOrdered => pb::Delivery::ReliableOrdered,
        Delivery::ReliableLatest => pb::Delivery::ReliableLatest,
    }
}

/// One piece, or several when the sets are long. What is handled is said only with or after the last verdicts:
/// without one it would be taken for handled without objection (rule W8).
fn receiving_lane_to_wire(lane: &ReceivingLane) -> impl Iterator<Item = receiving::Lane> {
    let mut received = lane.received.chunks(PIECE_RANGES);
    let mut handled = lane.handled.chunks(PIECE_RANGES);
    let mut verdicts = lane.verdicts.chunks(PIECE_VERDICTS);
    let mut partial = lane.partial.chunks(PIECE_PARTIAL);
    let mut begun = false;
    std::iter::from_fn(move || {
        let (received, objections, partial) = (received.next(), verdicts.next(), partial.next());
        let last = verdicts.len() == 0;
        let handled = if last { handled.next() } else { None };
        if begun && (received, handled, objections, partial) == (None, None, None, None) {
            return None;
        }
        begun = true;
        let prefix = |&(sequence, bytes): &(Sequence, u64)| receiving::Partial { sequence, bytes };
        Some(receiving::Lane {
            channel: lane.channel.0,
            received_below: lane.received_below,
            received: ranges_to_wire(received.unwrap_or_default()),
            handled_below: if last { lane.handled_below } else { 0 },
            handled: ranges_to_wire(handled.unwrap_or_default()),
            verdicts: objections.unwrap_or_default().iter().filter_map(verdict_to_wire).collect(),
            window_messages: lane.window_messages,
            window_bytes: lane.window_bytes,
            window_large: lane.window_large,
            partial: partial.unwrap_or_default().iter().map(prefix).collect(),
            refused: lane
                .refused
                .as_deref()
                .map(|reason| receiving::Refusal { reason: cut(reason).to_owned() }),
            ended: lane.ended,
        })
    })
}

fn ranges_to_wire(ranges: &[(Sequence, Sequence)]) -> Vec<pb::Range> {
    ranges.iter().map(|&(start, end)| pb::Range { start, length: end.saturating_sub(start) }).collect()
}

/// `None` for a verdict on no message: the wire has no word for it.
fn verdict_to_wire(verdict: &Verdict) -> Option<receiving::Verdict> {
    let length = match verdict.end.saturating_sub(verdict.start) {
        0 => return None,
        // Saves its two bytes.
        1 => 0,
        several => several,
    };
    let (why, reason) = match &verdict.why {
        Why::Rejected(reason) => (receiving::Why::Rejected, cut(reason)),
        Why::Expired => (receiving::Why::Expired, ""),
        Why::Superseded => (receiving::Why::Superseded, ""),
        Why::Skipped => (receiving::Why::Skipped, ""),
    };
    let reason = reason.to_owned();
    Some(receiving::Verdict { sequence: verdict.start, reason, length, why: why.into() })
}

// ---- From the wire ----

/// The frame, if it keeps the rules.
pub(super) fn from_wire(frame: Wire) -> Result<Control, WireError> {
    Ok(match frame {
        Wire::Hello(hello) => Control::Hello(Box::new(hello_from_wire(hello)?)),
        Wire::Welcome(welcome) => Control::Welcome(Welcome {
            version: welcome.version,
            epoch: epoch("Welcome.epoch", welcome.epoch)?,
            counter: number("Welcome.counter", welcome.counter)?,
            limits: limits("Welcome.limits", welcome.limits)?,
            durable: welcome.durable,
        }),
        Wire::Confirm(pb::Confirm { counter, durable }) => {
            Control::Confirm(Confirm { counter: number("Confirm.counter", counter)?, durable })
        }
        Wire::Retry(retry) => Control::Retry(match retry.why {
            Some(retry::Why::Stale(last)) => Retry::Stale(number("Retry.stale", last)?),
            Some(retry::Why::Forgotten(true)) => Retry::Forgotten,
            Some(retry::Why::Forgotten(false)) | None => {
                return Err(WireError::Missing { field: "Retry.why" });
            }
        }),
        Wire::Refuse(pb::Refuse { code, reason, retry }) => {
            Control::Refuse(Refuse { code, reason: cut_owned(reason), retry })
        }
        Wire::Sending(sending) => Control::Sending(Sending {
            epoch: epoch("Sending.epoch", sending.epoch)?,
            clock_ms: number("Sending.clock_ms", sending.clock_ms)?,
            lanes: lanes("lanes in one Sending", sending.lanes, sending_lane_from_wire)?,
        }),
        Wire::Receiving(receiving) => Control::Receiving(Receiving {
            epoch: epoch("Receiving.epoch", receiving.epoch)?,
            lanes: lanes("lanes in one Receiving", receiving.lanes, receiving_lane_from_wire)?,
        }),
        Wire::Close(pb::Close { code, reason }) => Control::Close(Close { code, reason: cut_owned(reason) }),
        Wire::CloseAck(pb::CloseAck {}) => Control::CloseAck,
        Wire::Probe(pb::Probe { answer_after_ms }) => Control::Probe(Probe {
            answer_after_ms: bounded("Probe.answer_after_ms", answer_after_ms, MAX_PROBE_MS)?,
        }),
        Wire::ProbeAnswer(pb::ProbeAnswer {}) => Control::ProbeAnswer,
        Wire::AddressSeen(pb::AddressSeen { changes }) => {
            Control::AddressSeen(AddressSeen { changes: number("AddressSeen.changes", changes)? })
        }
        Wire::Presence(pb::Presence { away }) => Control::Presence { away },
    })
}

fn hello_from_wire(hello: pb::Hello) -> Result<Hello, WireError> {
    let (min, max) = (hello.version_min, hello.version_max);
    if min > max {
        return Err(WireError::ReversedVersions { min, max });
    }
    let secret = match hello.secret.is_empty() {
        true => None,
        false => Some(Secret(exactly("Hello.secret", &hello.secret)?)),
    };
    at_most("Hello.credentials", hello.credentials.len(), MAX_CREDENTIALS)?;
    Ok(Hello {
        version_min: min,
        version_max: max,
        session: SessionId::from_bytes(exactly("Hello.session", &hello.session)?),
        secret,
        epoch: epoch("Hello.epoch", hello.epoch)?,
        peer_epoch: Epoch::new(hello.peer_epoch),
        counter: number("Hello.counter", hello.counter)?,
        proof: exactly("Hello.proof", &hello.proof)?,
        limits: limits("Hello.limits", hello.limits)?,
        credentials: hello.credentials,
    })
}

fn lanes<W, L>(
    what: &'static str,
    lanes: Vec<W>,
    parse: fn(W) -> Result<L, WireError>,
) -> Result<Vec<L>, WireError> {
    not_more(what, lanes.len(), MAX_LANES)?;
    lanes.into_iter().map(parse).collect()
}

fn sending_lane_from_wire(lane: sending::Lane) -> Result<SendingLane, WireError> {
    let channel = ChannelId(lane.channel);
    let floor = number("Sending.floor", lane.floor)?;
    let end = lane.end.map(|end| number("Sending.end", end)).transpose()?;
    if let Some(end) = end.filter(|end| *end < floor) {
        return Err(WireError::EndBelowFloor { channel, end, floor });
    }
    if lane.label.is_empty() {
        return Err(WireError::Missing { field: "Sending.label" });
    }
    at_most("Sending.label", lane.label.len(), MAX_LABEL)?;
    let delivery = match pb::Delivery::try_from(lane.delivery) {
        Ok(pb::Delivery::Unreliable) => Ok(Delivery::Unreliable),
        Ok(pb::Delivery::UnreliableSequenced) => Ok(Delivery::UnreliableSequenced),
        Ok(pb::Delivery::ReliableUnordered) => Ok(Delivery::ReliableUnordered),
        Ok(pb::Delivery::ReliableOrdered) => Ok(Delivery::ReliableOrdered),
        Ok(pb::Delivery::ReliableLatest) => Ok(Delivery::ReliableLatest),
        Ok(pb::Delivery::Unspecified) | Err(_) => Err(lane.delivery),
    };
    let skipped = ranges(channel, "skipped", floor, &lane.skipped)?;
    not_more("extended deadlines on one channel", lane.extended.len(), MAX_EXTENDED)?;
    let extended = lane.extended.into_iter().map(extension_from_wire).collect::<Result<_, _>>()?;
    Ok(SendingLane { channel, label: lane.label, delivery, floor, end, skipped, extended })
}

fn extension_from_wire(extension: sending::Extension) -> Result<Extension, WireError> {
    let sequence = sequence("Sending.extended.sequence", extension.sequence)?;
    let left_ms = extension.left_ms.map(|left| number("Sending.extended.left_ms", left)).transpose()?;
    Ok(Extension { sequence, left_ms })
}

fn receiving_lane_from_wire(lane: receiving::Lane) -> Result<ReceivingLane, WireError> {
    let channel = ChannelId(lane.channel);
    let received_below = number("Receiving.received_below", lane.received_below)?;
    let handled_below = number("Receiving.handled_below", lane.handled_below)?;
    not_more("verdicts on one channel", lane.verdicts.len(), MAX_VERDICTS)?;
    Ok(ReceivingLane {
        channel,
        received_below,
        received: ranges(channel, "received", received_below + 1, &lane.received)?,
        handled_below,
        handled: ranges(channel, "handled", handled_below + 1, &lane.handled)?,
        verdicts: lane.verdicts.into_iter().map(verdict_from_wire).collect::<Result<_, _>>()?,
        // No sender can use more, and sums with it cannot overflow.
        window_messages: lane.window_messages.min(varint::MAX),
        window_bytes: lane.window_bytes.min(varint::MAX),
        window_large: lane.window_large.min(varint::MAX),
        partial: partial(channel, &lane.partial)?,
        refused: lane.refused.map(|refusal| cut_owned(refusal.reason)),
        ended: lane.ended,
    })
}

/// Ranges that ascend and do not touch, the first at or above `lowest`.
fn ranges(
    channel: ChannelId,
    set: &'static str,
    lowest: Sequence,
    ranges: &[pb::Range],
) -> Result<Vec<(Sequence, Sequence)>, WireError> {
    not_more("ranges in one set of a channel", ranges.len(), MAX_RANGES)?;
    let mut least = lowest;
    let parse = |&pb::Range { start, length }: &pb::Range| {
        if start < least || length == 0 {
            return Err(WireError::BadRange { channel, set, start, length, least });
        }
        let end = number("the end of a range", start.saturating_add(length))?;
        least = end + 1;
        Ok((start, end))
    };
    ranges.iter().map(parse).collect()
}

/// Messages that are here in part, ascending.
fn partial(channel: ChannelId, messages: &[receiving::Partial]) -> Result<Vec<(Sequence, u64)>, WireError> {
    not_more("partial messages on one channel", messages.len(), MAX_PARTIAL)?;
    let mut least = 0;
    let parse = |message: &receiving::Partial| {
        let sequence = sequence("Receiving.partial.sequence", message.sequence)?;
        if sequence < least {
            return Err(WireError::PartialOrder { channel, sequence, least });
        }
        least = sequence + 1;
        Ok((sequence, number("Receiving.partial.bytes", message.bytes)?))
    };
    messages.iter().map(parse).collect()
}

fn verdict_from_wire(verdict: receiving::Verdict) -> Result<Verdict, WireError> {
    let start = sequence("Receiving.verdicts.sequence", verdict.sequence)?;
    let end = number("the end of a verdict", start.saturating_add(verdict.length.max(1)))?;
    let why = match receiving::Why::try_from(verdict.why) {
        Ok(receiving::Why::Expired) => Why::Expired,
        Ok(receiving::Why::Superseded) => Why::Superseded,
        Ok(receiving::Why::Skipped) => Why::Skipped,
        // A later version may know more reasons; all mean that it was not handled.
        Ok(receiving::Why::Rejected) | Err(_) => Why::Rejected(cut_owned(verdict.reason)),
    };
    Ok(Verdict { start, end, why })
}

// ---- What several frames share ----

fn limits(field: &'static str, limits: Option<pb::Limits>) -> Result<PeerLimits, WireError> {
    let pb::Limits { max_message_size, max_channels } = limits.ok_or(WireError::Missing { field })?;
    Ok(PeerLimits { max_message_size, max_channels })
}

fn epoch(field: &'static str, value: u64) -> Result<Epoch, WireError> {
    Epoch::new(value).ok_or(WireError::ZeroEpoch { field })
}

/// Sequences and counters stay far enough below 2^64 that adding one, or a window, cannot overflow (rule W2).
fn number(what: &'static str, found: u64) -> Result<u64, WireError> {
    bounded(what, found, varint::MAX)
}

fn sequence(what: &'static str, found: u64) -> Result<Sequence, WireError> {
    bounded(what, found, MAX_SEQUENCE)
}

fn bounded(what: &'static str, found: u64, limit: u64) -> Result<u64, WireError> {
    if found > limit { Err(WireError::TooLarge { what, found, limit }) } else { Ok(found) }
}

fn exactly<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], WireError> {
    bytes.try_into().map_err(|_| WireError::WrongLength { field, found: bytes.len(), wanted: N })
}

fn at_most(field: &'static str, found: usize, limit: usize) -> Result<(), WireError> {
    if found > limit { Err(WireError::TooLong { field, found, limit }) } else { Ok(()) }
}

fn not_more(what: &'static str, found: usize, limit: usize) -> Result<(), WireError> {
    if found > limit { Err(WireError::TooMany { what, found, limit }) } else { Ok(()) }
}

/// At most [`MAX_REASON`] bytes of it, in whole characters.
fn cut(reason: &str) -> &str {
    let fits = (0..=MAX_REASON).rev().find_map(|end| reason.get(..end));
    if reason.len() <= MAX_REASON { reason } else { fits.unwrap_or_default() }
}

fn cut_owned(mut reason: String) -> String {
    reason.truncate(cut(&reason).len());
    reason
}
