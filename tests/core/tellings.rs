//! When both sides tell what of their channels, and what is taken for a sign that the peer is there (rules C1, R1, H2).

use std::time::Duration;

use bowline::config::Delivery;
use bowline::error::Outcome;
use bowline::id::ChannelId;
use bowline::protocol::types::{Event, Progress};
use bowline::wire::{Control, Frame, Receiving, ReceivingLane, Sending, SendingLane};

use crate::link::Side::{Acceptor, Dialer};
use crate::scene::{connected, connected_as, ms, nothing_received, secs};
use crate::world::{Settings, Shape, World};

fn told(world: &mut World) -> usize {
    let receiving =
        |peer: &crate::peer::Peer| peer.frames.iter().filter(|name| **name == "Receiving").count();
    world.with(world.on(Acceptor), |peer, _, _| receiving(peer)).expect("a peer")
}

fn take_one(world: &mut World) {
    let got = world.with(world.on(Acceptor), |peer, model, now| peer.recv("chat", 1, model, now));
    assert_eq!(got.map(|got| got.len()), Some(1));
}

#[test]
fn tellings_of_what_is_handled_travel_together_and_soon() {
    let mut world = connected(Settings::default(), &["chat"]);
    let ids = [(); 6].map(|()| world.say(Dialer, "chat", 10));
    // They arrive after 10 ms, and the news of that waits for more until 35.
    world.run(ms(12));
    let before = told(&mut world);
    for _ in 0..4 {
        take_one(&mut world);
        world.run(ms(1));
    }
    assert_eq!(told(&mut world), before, "there is more to come");
    // The first was handled after 12 ms: the news of it waits for 5.
    world.run(ms(2));
    assert_eq!(told(&mut world), before + 1);
    world.run(ms(50));
    assert_eq!(world.outcome(Dialer, ids[3]), Some(Outcome::Handled));
    assert_eq!(world.outcome(Dialer, ids[4]), None);
    // With the last one there is nothing to wait for.
    world.hear(Acceptor, "chat");
    world.settle();
    assert_eq!(told(&mut world), before + 2);
}

#[test]
fn tellings_of_a_sender_are_answered_at_once() {
    let mut world = connected(Settings::default(), &["chat"]);
    let link = world.dialer.machine.attached().expect("a link");
    world.say(Dialer, "chat", 10);
    let arrived = |world: &mut World| world.stats(Acceptor, "chat").inbox_messages == 1;
    assert!(world.run_until(ms(100), arrived));
    let before = told(&mut world);
    // The news of the message still waits for more.
    let lane = SendingLane {
        channel: ChannelId(0),
        label: "chat".to_owned(),
        delivery: Ok(Delivery::ReliableOrdered),
        floor: 0,
        end: None,
        skipped: Vec::new(),
        extended: Vec::new(),
    };
    let sending = Sending { epoch: world.dialer.machine.epoch(), clock_ms: 0, lanes: vec![lane] };
    world.feed(link, Acceptor, Frame::Control(Control::Sending(sending)));
    world.settle();
    assert_eq!(told(&mut world), before + 1, "C1");
}

#[test]
fn tellings_of_a_refusal_end_what_was_never_written() {
    let shape = Shape { inbox: (10, 1 << 16), outbox: (100, 1 << 20), ..Shape::plain() };
    let mut world = connected_as(Settings::default(), &shape);
    let written = world.say(Dialer, "chat", 60_000);
    let unwritten = [(); 2].map(|()| world.say(Dialer, "chat", 60_000));
    world.run(ms(100));
    assert_eq!(world.take(Acceptor, "chat"), 1);
    world.refuse(Acceptor, "chat");
    world.run(ms(100));
    let rejected = Outcome::Rejected { reason: "no more".to_owned() };
    assert!(unwritten.into_iter().all(|id| world.outcome(Dialer, id) == Some(rejected.clone())), "R1");
    assert_eq!(world.outcome(Dialer, written), None, "the application has it in its hands");
    world.settle_taken(Acceptor, "chat", 0);
    world.run(ms(100));
    assert_eq!(world.outcome(Dialer, written), Some(Outcome::Handled));
}

#[test]
fn tellings_of_a_store_that_lost_its_tail_leave_what_the_channel_says() {
    for (redeliver, reset) in [
        (true, Event::Reset { undelivered: 1, redelivered: 1 }),
        (false, Event::Reset { undelivered: 2, redelivered: 0 }),
    ] {
        let settings = Settings { stores: [false, true], ..Settings::default() };
        let mut world = connected_as(settings, &Shape { redeliver, ..Shape::plain() });
        let stored = |world: &mut World| {
            world.acceptor().and_then(|peer| peer.store.as_ref()).map_or(0, |store| store.history.len())
        };
        let before = stored(&mut world);
        // Of the first the acceptor said that it holds it, so that nothing is left of it; the second was on its way.
        let lost = world.say(Dialer, "chat", 10);
        world.run(secs(1));
        assert_eq!(world.progress(Dialer, lost), Progress::Received);
        let under_way = world.say(Dialer, "chat", 10);
        world.settle();
        let tail = stored(&mut world) - before;
        world.restart_acceptor(tail, Some(ms(0)));
        world.run(secs(5));
        assert_eq!(world.outcome(Dialer, lost), Some(Outcome::Unknown));
        assert_eq!(world.outcome(Dialer, under_way), (!redeliver).then_some(Outcome::Unknown));
        assert!(world.events(Dialer).contains(&reset), "{:?}", world.events(Dialer));
    }
}

/// The acceptor's process is stopped when the dialer has written 29 messages and a large one. It has said what `before` says, is
/// sent one more, and from then on says what `tell` says, again and again. When the dialer suspects that nobody is there.
fn suspected(
    before: impl Fn(&mut ReceivingLane),
    tell: impl Fn(&mut ReceivingLane, u64),
) -> Option<Duration> {
    let shape = Shape { inbox: (100, 1 << 16), outbox: (100, 1 << 20), ..Shape::plain() };
    let mut world = connected_as(Settings { acks: false, ..Settings::default() }, &shape);
    let link = world.dialer.machine.attached().expect("a link");
    let hears = |world: &mut World, say: &dyn Fn(&mut ReceivingLane)| {
        let mut lane = nothing_received((100, 1 << 16, 1 << 20));
        say(&mut lane);
        let receiving = Receiving { epoch: world.dialer.machine.epoch(), lanes: vec![lane] };
        world.feed(link, Dialer, Frame::Control(Control::Receiving(receiving)));
    };
    world.stop(world.on(Acceptor), secs(1000));
    (0..29).for_each(|_| _ = world.say(Dialer, "chat", 10));
    world.say(Dialer, "chat", 90_000);
    world.settle();
    hears(&mut world, &|lane| before(lane));
    world.say(Dialer, "chat", 10);
    // For this one the window has no room: it is never written.
    let unwritten = world.say(Dialer, "chat", 65_536);
    world.settle();
    world.forget_events();
    let begun = world.now;
    for number in 1..=20 {
        hears(&mut world, &|lane| tell(lane, number));
        if world.run_until(ms(200), |world| world.events(Dialer).contains(&Event::Suspect)) {
            return Some(world.now - begun);
        }
    }
    assert!(!world.model.is_written(unwritten));
    None
}

#[test]
fn tellings_are_a_sign_of_life_when_something_has_arrived_or_is_over() {
    let said = |lane: &mut ReceivingLane| {
        (lane.received_below, lane.handled_below, lane.partial) = (25, 2, vec![(29, 20_000)]);
    };
    // What it has said before, however often, and that nobody is there to say it, is no sign.
    for silent in [suspected(|_| (), |_, _| ()), suspected(said, |lane, _| said(lane))] {
        assert!(silent.is_some_and(|after| after < secs(3)), "{silent:?}");
    }
    let also = |more: fn(&mut ReceivingLane, u64)| {
        suspected(said, move |lane, number| {
            said(lane);
            more(lane, number);
        })
    };
    assert_eq!(also(|lane, number| lane.received_below = 25 + number.min(4)), None, "more has arrived");
    assert_eq!(also(|lane, number| lane.handled_below = 2 + number), None, "more is handled");
    assert_eq!(
        also(|lane, number| lane.partial = vec![(29, 20_000 + number)]),
        None,
        "more of it has arrived"
    );
    assert_eq!(also(|lane, _| lane.refused = Some("no".to_owned())), None, "what was not written is over");
}
