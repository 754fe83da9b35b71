//! What a peer must not do: the session ends at once, with a code and a reason, and nothing panics (G10, G12).

use bowline::config::{Delivery, LARGE};
use bowline::error::{CloseCode, Side as By};
use bowline::id::{ChannelId, Epoch};
use bowline::wire::{
    AddressSeen, Body, Carrier, Confirm, Control, Data, Frame, Probe, Receiving, ReceivingLane, Sending,
    SendingLane, Verdict, Welcome, Why,
};

use crate::link::Side;
use crate::scene::{connected, connected_as, in_mode, ms, nothing_received, secs, stored};
use crate::settings::MAX_LARGE;
use crate::world::{MAX_MESSAGE, Settings, Who, World};

fn data(channel: u32, sequence: u64, size: usize) -> Frame {
    let payload = vec![0; size].into();
    Frame::Data(Data {
        channel: ChannelId(channel),
        sequence,
        redelivered: false,
        deadline: None,
        carrier: Carrier::Lane,
        payload,
    })
}

fn body(channel: u32, sequence: u64, size: usize, offset: u64) -> Frame {
    let (channel, size, bytes) = (ChannelId(channel), size as u64, vec![0; 1000].into());
    let (redelivered, deadline, carrier) = (false, None, Carrier::Stream);
    Frame::Body(Body { channel, sequence, redelivered, deadline, carrier, size, offset, bytes })
}

fn lane(channel: u32, label: &str, floor: u64, end: Option<u64>) -> SendingLane {
    let delivery = Ok(Delivery::ReliableOrdered);
    let (channel, label) = (ChannelId(channel), label.to_owned());
    SendingLane { channel, label, delivery, floor, end, skipped: Vec::new(), extended: Vec::new() }
}

fn sending(world: &World, lanes: Vec<SendingLane>) -> Frame {
    Frame::Control(Control::Sending(Sending { epoch: world.dialer.machine.epoch(), clock_ms: 0, lanes }))
}

fn receiving(world: &mut World, change: impl FnOnce(&mut ReceivingLane)) -> Frame {
    let epoch = world.acceptor().expect("a peer").machine.epoch();
    let mut lane = nothing_received((10, 10, 0));
    change(&mut lane);
    Frame::Control(Control::Receiving(Receiving { epoch, lanes: vec![lane] }))
}

/// The acceptor hears this from the dialer; how its session ended, if it did.
fn hears(world: &mut World, frame: Frame) -> Option<String> {
    let link = world.dialer.machine.attached().expect("a link");
    world.feed(link, Side::Acceptor, frame);
    world.run(secs(1));
    let reason = world.acceptor().and_then(|peer| peer.closed())?;
    assert_eq!((reason.code, reason.side, reason.clean), (CloseCode::ProtocolViolation, By::Local, false));
    let told = world.dialer.closed().expect("the other side is told");
    assert_eq!((told.code, told.side, told.reason), (reason.code, By::Remote, reason.reason.clone()));
    Some(reason.reason)
}

fn assert_violation(frame: impl FnOnce(&mut World) -> Frame, reason: &str) {
    let mut world = connected(Settings { max_channels: 2, ..Settings::default() }, &["chat"]);
    let frame = frame(&mut world);
    let found = hears(&mut world, frame.clone());
    assert!(found.as_ref().is_some_and(|found| found.starts_with(reason)), "{found:?} for {frame:?}");
}

/// Nothing of what is beyond a bound is taken.
fn assert_bound(frame: Frame, reason: &str) {
    let mut world = connected(Settings::default(), &["chat"]);
    let link = world.dialer.machine.attached().expect("a link");
    world.feed(link, Side::Acceptor, frame.clone());
    let found = world.acceptor().and_then(|peer| peer.closed()).map(|closed| closed.reason);
    assert!(found.as_ref().is_some_and(|found| found.starts_with(reason)), "G10: {found:?} for {frame:?}");
    assert_violation(|_| frame, reason);
}

#[test]
fn violations_end_the_session_with_their_reason() {
    assert_bound(data(0, 2000, 1), "more than the window allows");
    assert_bound(data(0, u64::MAX, 1), "more than the window allows");
    assert_violation(|_| data(0, 0, LARGE + 1), "a large message in line with others");
    assert_violation(|_| body(0, 0, MAX_MESSAGE + 1, 0), "a message larger than this side allows");
    assert_violation(|w| sending(w, vec![lane(1, "chat", 0, None)]), "a label that is announced already");
    assert_violation(
        |w| sending(w, vec![lane(0, "jobs", 0, None)]),
        "a channel changed its label or its end",
    );
    assert_violation(
        |w| sending(w, vec![lane(0, "chat", 5, Some(4))]),
        "a channel's floor is beyond its end",
    );
    let many = |w: &mut World| sending(w, vec![lane(1, "one", 0, None), lane(2, "two", 0, None)]);
    assert_violation(many, "more channels than this side allows");
    let never = "an acknowledgement of a message never sent";
    assert_violation(|w| receiving(w, |lane| lane.received_below = 1), never);
    assert_violation(|w| receiving(w, |lane| lane.handled_below = 1), never);
    assert_violation(|w| receiving(w, |lane| lane.handled = vec![(3, u64::MAX)]), never);
    let verdict = Verdict { start: 0, end: u64::MAX, why: Why::Expired };
    assert_violation(|w| receiving(w, |lane| lane.verdicts = vec![verdict]), never);
    assert_violation(|w| receiving(w, |lane| lane.ended = true), never);
    assert_violation(
        |w| receiving(w, |lane| lane.channel = ChannelId(9)),
        "news of a channel that was never opened",
    );
    assert_violation(|_| Frame::Control(Control::CloseAck), "a CloseAck without a Close");
    let probe = Probe { answer_after_ms: 1 };
    assert_violation(|_| Frame::Control(Control::Probe(probe)), "a lifetime probe on an attached link");
    assert_violation(|_| Frame::Control(Control::ProbeAnswer), "a lifetime probe on an attached link");
    let seen = AddressSeen { changes: 1 };
    assert_violation(|_| Frame::Control(Control::AddressSeen(seen)), "news of an address from the dialer");
    let confirm = Confirm { counter: 77, durable: false };
    assert_violation(|_| Frame::Control(Control::Confirm(confirm)), "a Confirm that answers no Welcome");
    let hello =
        |w: &mut World| Frame::Control(Control::Hello(Box::new(w.last_hello.clone().expect("a Hello"))));
    assert_violation(hello, "an attach message on an attached link");
}

/// The acceptor hears these from the dialer, who sends on "chat" in this mode; how its session ended, if it did.
fn ends_in(mode: Delivery, frames: impl IntoIterator<Item = Frame>) -> Option<String> {
    let mut frames: Vec<Frame> = frames.into_iter().collect();
    let last = frames.pop();
    let mut world = allowed(mode, frames);
    hears(&mut world, last.expect("a frame"))
}

/// The acceptor hears these from the dialer, and takes them. (That the dialer never sent them is another matter.)
fn allowed(mode: Delivery, frames: impl IntoIterator<Item = Frame>) -> World {
    let mut world = connected_as(Settings::default(), &in_mode(mode));
    let link = world.dialer.machine.attached().expect("a link");
    for frame in frames {
        world.feed(link, Side::Acceptor, frame);
        assert_eq!(world.acceptor().and_then(|peer| peer.closed()), None);
    }
    world
}

fn piece(sequence: u64, size: u64, offset: u64, length: usize, carrier: Carrier) -> Frame {
    let (channel, bytes) = (ChannelId(0), vec![0; length].into());
    let (redelivered, deadline) = (false, None);
    Frame::Body(Body { channel, sequence, redelivered, deadline, carrier, size, offset, bytes })
}

#[test]
fn violations_in_the_pieces_of_large_messages() {
    let part = |offset, length| piece(0, 90_000, offset, length, Carrier::Stream);
    let gap = Some("a gap in a large message (rule C2)".to_owned());
    assert_eq!(ends_in(Delivery::ReliableOrdered, [part(1, 1000)]), gap);
    assert_eq!(ends_in(Delivery::ReliableOrdered, [part(0, 1000), part(1001, 1000)]), gap);
    // More than once is allowed, also across what is there.
    allowed(Delivery::ReliableOrdered, [part(0, 1000), part(0, 1000), part(500, 1000)]);
    let other = [part(0, 1000), piece(0, 90_001, 1000, 1000, Carrier::Stream)];
    let changes = "a large message that changes its size (rule C2)".to_owned();
    assert_eq!(ends_in(Delivery::ReliableOrdered, other), Some(changes));
    // Whole-size credit: what is promised counts.
    let many = |sequence| piece(sequence, MAX_MESSAGE as u64, 0, 10, Carrier::Stream);
    let credit = (MAX_LARGE / MAX_MESSAGE) as u64;
    let beyond = "more than the window for large messages allows (rule C2)".to_owned();
    assert_eq!(ends_in(Delivery::ReliableUnordered, (0..=credit).map(many)), Some(beyond.clone()));
    let numbered = |sequence| piece(sequence, 90_000, 0, 10, Carrier::Stream);
    assert_eq!(ends_in(Delivery::ReliableUnordered, [numbered(2000)]), Some(beyond));
    allowed(Delivery::ReliableUnordered, [numbered(1999)]);
}

#[test]
fn violations_in_fragments() {
    let part = |offset, length| piece(3, 3000, offset, length, Carrier::Datagram);
    let overlap = Some("fragments that overlap (rule N2)".to_owned());
    assert_eq!(ends_in(Delivery::Unreliable, [part(1000, 1000), part(0, 1001)]), overlap);
    assert_eq!(ends_in(Delivery::Unreliable, [part(1000, 1000), part(1000, 1000)]), overlap);
    assert_eq!(ends_in(Delivery::Unreliable, [part(1000, 1000), part(1999, 1000)]), overlap);
    let other = piece(3, 3001, 2000, 1000, Carrier::Datagram);
    assert_eq!(ends_in(Delivery::UnreliableSequenced, [part(1000, 1000), other]), overlap);
    // In any order, with gaps that may be closed or not.
    allowed(Delivery::Unreliable, [part(2000, 1000), part(0, 1000)]);
    let reliable = Some("a fragment of a reliable message (rule C1)".to_owned());
    assert_eq!(ends_in(Delivery::ReliableUnordered, [part(0, 1000)]), reliable);
}

#[test]
fn violations_by_unreliable_messages_on_streams() {
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        let own = "an unreliable message on a stream of its own (rule C1)".to_owned();
        assert_eq!(ends_in(mode, [piece(0, 90_000, 0, 1000, Carrier::Stream)]), Some(own));
        let on_stream = "an unreliable message on a stream (rule C1)".to_owned();
        assert_eq!(ends_in(mode, [data(0, 0, 10)]), Some(on_stream));
    }
}

#[test]
fn violations_by_skips_beyond_the_window_or_the_end() {
    let skip = |range: (u64, u64), end| {
        move |w: &mut World| {
            let mut lane = lane(0, "chat", 0, end);
            lane.skipped = vec![range];
            sending(w, vec![lane])
        }
    };
    let beyond = "more is skipped than the window or the end of the channel allows";
    assert_violation(skip((0, 2001), None), beyond);
    assert_violation(skip((1999, u64::MAX), None), beyond);
    assert_violation(skip((3, 5), Some(4)), beyond);
    let mut world = connected(Settings::default(), &["chat"]);
    let frame = skip((0, 2000), Some(2000))(&mut world);
    let link = world.dialer.machine.attached().expect("a link");
    world.feed(link, Side::Acceptor, frame);
    assert_eq!(world.acceptor().and_then(|peer| peer.closed()), None);
}

#[test]
fn violations_by_news_of_parts_that_were_never_sent() {
    let never = "an acknowledgement of a message never sent";
    assert_violation(|w| receiving(w, |lane| lane.partial = vec![(0, 10)]), never);
    let verdict = Verdict { start: 0, end: 1, why: Why::Skipped };
    assert_violation(|w| receiving(w, |lane| lane.verdicts = vec![verdict]), never);
}

#[test]
fn violations_beyond_an_end() {
    let mut world = connected(Settings::default(), &["chat"]);
    let frame = sending(&world, vec![lane(0, "chat", 0, Some(1))]);
    let link = world.dialer.machine.attached().expect("a link");
    world.feed(link, Side::Acceptor, frame);
    world.feed(link, Side::Acceptor, data(0, 0, 1));
    let found = hears(&mut world, data(0, 1, 1));
    assert_eq!(found.as_deref(), Some("a message beyond the end of its channel (rule C3)"));
}

#[test]
fn violations_in_bytes_beyond_the_window() {
    let mut world = connected(Settings::default(), &["chat"]);
    let link = world.dialer.machine.attached().expect("a link");
    for sequence in 0..3 {
        world.feed(link, Side::Acceptor, data(0, sequence, LARGE));
    }
    let found = hears(&mut world, data(0, 3, 1));
    assert_eq!(found.as_deref(), Some("more than the window allows (rule C2)"));
}

#[test]
fn violations_before_the_welcome() {
    let welcome = |world: &World| {
        let limits = world.dialer.setup.limits;
        let epoch = Epoch::new(5).expect("not zero");
        Control::Welcome(Welcome { version: 1, epoch, counter: 9, limits, durable: false })
    };
    for early in [Some(Control::CloseAck), None] {
        let mut world = World::new(Settings::default(), 1);
        world.run(ms(25));
        let link = *world.links.keys().next().expect("a link");
        let frame = early.unwrap_or_else(|| welcome(&world));
        world.feed(link, Side::Dialer, Frame::Control(frame));
        world.settle();
        let reason = world.dialer.closed().expect("the end");
        assert_eq!((reason.code, reason.side), (CloseCode::ProtocolViolation, By::Local));
    }
}

#[test]
fn violations_are_not_what_a_forgetful_store_says() {
    // With a journal the side that hears of numbers it never gave suspects itself: it begins a new epoch.
    let mut world = connected(stored(1), &["chat"]);
    let epoch = world.acceptor().expect("a peer").machine.epoch();
    let frame = receiving(&mut world, |lane| lane.received_below = 1);
    let link = world.dialer.machine.attached().expect("a link");
    world.feed(link, Side::Acceptor, frame);
    world.run(secs(5));
    assert!(world.dialer.closed().is_none());
    assert_ne!(world.acceptor().expect("a peer").machine.epoch(), epoch);
}

#[test]
fn violations_are_not_what_an_old_epoch_says() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say(Side::Acceptor, "chat", 1);
    let old = Epoch::new(1).expect("not zero");
    for frame in [
        Frame::Control(Control::Sending(Sending {
            epoch: old,
            clock_ms: 0,
            lanes: vec![lane(0, "jobs", 9, Some(1))],
        })),
        match receiving(&mut world, |lane| lane.handled_below = 1) {
            Frame::Control(Control::Receiving(told)) => {
                Frame::Control(Control::Receiving(Receiving { epoch: old, ..told }))
            }
            other => other,
        },
    ] {
        assert_eq!(hears(&mut world, frame), None);
    }
    assert_eq!(world.acceptor().map(|peer| peer.machine.unresolved()), Some(1));
    let unparsed = world.with(Who::Dialer, |peer, _, now| {
        let link = peer.machine.attached().expect("a link");
        peer.machine.handle_violation(link, "not a frame", now);
    });
    assert_eq!(unparsed, Some(()));
    world.run(secs(1));
    assert_eq!(world.dialer.closed().map(|reason| reason.reason).as_deref(), Some("not a frame"));
}
