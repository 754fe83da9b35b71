//! What comes of a Hello, and of a link that ends: refused, asked for again, closed, forgotten (rules S4, S5, W9, G10, G15).

use bowline::error::{CloseCode, Side as By};
use bowline::id::{ChannelId, Epoch, SessionId};
use bowline::protocol::types::{Event, LinkEnd, LinkId, Output, SessionState};
use bowline::wire::{Carrier, Control, Data, Frame, Hello, Refuse, Retry, Sending, SendingLane};

use crate::link::Side;
use crate::net::DIALER;
use crate::scene::{BOTH, connected, hello_of, ms, secs};
use crate::world::{Settings, Who, World};

/// The dialer has said its first Hello, and nobody has answered.
fn joining() -> (World, LinkId) {
    let mut world = World::new(Settings::default(), 1);
    world.run(ms(25));
    let link = *world.links.keys().next().expect("a link");
    (world, link)
}

/// A session that was attached has lost its link, and has said Hello on the next one.
fn rejoining(prepare: impl FnOnce(&mut World)) -> (World, LinkId) {
    let mut world = connected(Settings::default(), &["chat"]);
    let before = world.dialer.machine.attached();
    world.cut_now();
    world.settle();
    prepare(&mut world);
    world.run(ms(25));
    let link = *world.links.keys().max().expect("a link");
    assert_ne!(Some(link), before);
    (world, link)
}

fn refuse(world: &mut World, link: LinkId, code: CloseCode, retry: bool) {
    let refuse = Refuse { code: code.value(), reason: "no".to_owned(), retry };
    world.feed(link, Side::Dialer, Frame::Control(Control::Refuse(refuse)));
    world.settle();
}

fn ended(world: &World) -> Option<(CloseCode, By, bool, bool)> {
    world.dialer.closed().map(|reason| (reason.code, reason.side, reason.clean, reason.retry))
}

fn close(world: &mut World) {
    world.with(Who::Dialer, |peer, _, now| peer.machine.close(CloseCode::Normal, "bye", secs(30), now));
}

#[test]
fn answers_a_refusal_ends_a_session_unless_it_was_attached_before_and_may_come_again() {
    for retry in [true, false] {
        let (mut world, link) = joining();
        refuse(&mut world, link, CloseCode::Busy, retry);
        assert_eq!(ended(&world), Some((CloseCode::Busy, By::Remote, false, retry)));
    }
    let (mut world, link) = rejoining(|_| ());
    refuse(&mut world, link, CloseCode::Unauthorized, false);
    assert_eq!(ended(&world), Some((CloseCode::Unauthorized, By::Remote, false, false)));
    let (mut world, link) = rejoining(|_| ());
    refuse(&mut world, link, CloseCode::Busy, true);
    assert_eq!((ended(&world), world.dialer.machine.state()), (None, SessionState::Detached));
    world.run(secs(30));
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
    // One that is being closed has time until its drain is over.
    let mut world = World::new(Settings::default(), 1);
    close(&mut world);
    world.run(ms(25));
    let link = *world.links.keys().next().expect("a link");
    refuse(&mut world, link, CloseCode::Busy, true);
    assert_eq!(ended(&world), None);
}

#[test]
fn answers_an_end_that_the_acceptor_knows_already_needs_no_telling() {
    let (mut world, link) = rejoining(close);
    refuse(&mut world, link, CloseCode::Normal, false);
    assert_eq!(ended(&world), Some((CloseCode::Normal, By::Local, true, false)));
    // Of what had no outcome nobody knows.
    let (mut world, link) = rejoining(|world| {
        world.say(Side::Dialer, "chat", 10);
        close(world);
    });
    refuse(&mut world, link, CloseCode::Normal, false);
    assert_eq!(ended(&world), Some((CloseCode::Normal, By::Local, false, false)));
    let (mut world, link) = rejoining(close);
    refuse(&mut world, link, CloseCode::Expired, false);
    assert_eq!(ended(&world), Some((CloseCode::Expired, By::Remote, false, false)));
}

#[test]
fn answers_four_hellos_are_enough_for_one_link() {
    let (mut world, link) = rejoining(|_| ());
    let hellos = |world: &World| world.dialer.frames.iter().filter(|frame| **frame == "Hello").count();
    let before = hellos(&world);
    for asked in 1..=4 {
        assert!(world.links[&link].dialer_open, "asked {asked} times");
        world.feed(link, Side::Dialer, Frame::Control(Control::Retry(Retry::Stale(10 * asked))));
        world.settle();
    }
    assert_eq!(hellos(&world) - before, 3);
    assert!(!world.links[&link].dialer_open);
    assert_eq!(world.dialer.machine.state(), SessionState::Detached, "the session goes on");
}

#[test]
fn answers_a_link_that_is_closed_as_busy_ends_a_session_that_never_was_attached() {
    let busy = || LinkEnd::Closed { code: CloseCode::Busy, reason: "full".to_owned() };
    let (mut world, link) = joining();
    world.with(Who::Dialer, |peer, _, now| peer.machine.handle_link_down(link, busy(), now));
    assert_eq!(ended(&world), Some((CloseCode::Busy, By::Remote, false, true)));
    let (mut world, link) = rejoining(|_| ());
    world.with(Who::Dialer, |peer, _, now| peer.machine.handle_link_down(link, busy(), now));
    assert_eq!(ended(&world), None);
}

#[test]
fn answers_the_end_of_a_link_that_is_over_already_is_nobody_s_business() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    for side in BOTH {
        let who = world.on(side);
        for end in [
            LinkEnd::Closed { code: CloseCode::Normal, reason: "bye".to_owned() },
            LinkEnd::Closed { code: CloseCode::Reattach, reason: "another".to_owned() },
            LinkEnd::Lost("lost".to_owned()),
        ] {
            world.with(who, |peer, _, now| peer.machine.handle_link_down(LinkId(999), end, now));
            world.settle();
            let state = world.with(who, |peer, _, _| peer.machine.state());
            assert_eq!((state, world.events(side)), (Some(SessionState::Connected), vec![]), "{side:?}");
        }
    }
    world.run(secs(5));
    assert_eq!(world.tally.dials, 1, "G15");
}

#[test]
fn answers_a_peer_that_welcomes_and_is_gone_is_not_dialed_in_a_circle() {
    let mut world = connected(Settings::default(), &["chat"]);
    let begun = world.now;
    for _ in 0..5 {
        world.cut_now();
        world.settle();
        let attached = |world: &mut World| world.dialer.machine.state() == SessionState::Connected;
        assert!(world.run_until(secs(30), attached));
    }
    // The first time at once, and then after 2, 4, 8 and 16 seconds, less up to a quarter.
    assert!(world.now - begun > secs(20), "G15: {:?}", world.now - begun);
    // A link that lived is another matter.
    world.run(secs(2));
    world.cut_now();
    world.run(secs(1));
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
}

#[test]
fn answers_a_waiting_link_that_is_lost_makes_room_for_another_one() {
    let mut world = connected(Settings::default(), &[]);
    let who = world.on(Side::Acceptor);
    let knock = |world: &mut World| {
        let link = world.new_link();
        let info = world.info(link, DIALER);
        world.owners.insert(link, world.dialer.machine.session());
        world.with(who, |peer, _, now| peer.machine.handle_link_up(link, info, now));
        world.settle();
        (link, world.links.get(&link).is_some_and(|link| link.acceptor_open))
    };
    let waiting: Vec<(LinkId, bool)> = (0..5).map(|_| knock(&mut world)).collect();
    assert_eq!(waiting.iter().map(|(_, open)| *open).collect::<Vec<_>>(), [true, true, true, true, false]);
    let lost = LinkEnd::Lost("lost".to_owned());
    world.with(who, |peer, _, now| peer.machine.handle_link_down(waiting[0].0, lost, now));
    assert!(knock(&mut world).1);
    // The others still wait for their Hello.
    let hello = hello_of(&world, waiting[1].0, 50, world.dialer.machine.epoch());
    world.feed(waiting[1].0, Side::Acceptor, Frame::Control(Control::Hello(Box::new(hello))));
    assert_eq!(world.acceptor().and_then(|peer| peer.machine.attached()), Some(waiting[1].0));
}

/// What the acceptor's machine answers to a Hello on a link of its own: with which code and whether it may come again, if it
/// refuses.
fn refused(world: &mut World, change: impl FnOnce(Hello) -> Hello) -> Option<(CloseCode, bool)> {
    let link = world.new_link();
    let counter = 50 + link.0;
    let hello = change(hello_of(world, link, counter, world.dialer.machine.epoch()));
    let info = world.info(link, DIALER);
    world.owners.insert(link, world.dialer.machine.session());
    let outputs = world.with(world.on(Side::Acceptor), |peer, _, now| {
        peer.machine.handle_link_up(link, info, now);
        peer.machine.handle_frame(link, Frame::Control(Control::Hello(Box::new(hello))), now);
        let output = |peer: &mut crate::peer::Peer| match peer.machine.poll_output(now) {
            Output::Wait(_) => None,
            output => Some(output),
        };
        std::iter::from_fn(|| output(peer)).collect::<Vec<_>>()
    });
    let refusal = |output: Output| match output {
        Output::Transmit { frame: Frame::Control(Control::Refuse(refuse)), .. } => {
            Some((CloseCode::from_value(refuse.code), refuse.retry))
        }
        _ => None,
    };
    outputs.expect("a peer").into_iter().find_map(refusal)
}

#[test]
fn answers_a_hello_is_for_this_session_and_in_a_version_that_both_speak() {
    let mut world = connected(Settings::default(), &["chat"]);
    let versions = |min, max| move |hello| Hello { version_min: min, version_max: max, ..hello };
    for (min, max) in [(0, 0), (2, 2), (2, 9)] {
        let found = refused(&mut world, versions(min, max));
        assert_eq!(found, Some((CloseCode::VersionMismatch, false)), "{min} to {max}");
    }
    let other = SessionId::from_bytes([9; 16]);
    let found = refused(&mut world, |hello| Hello { session: other, ..hello });
    assert_eq!(found, Some((CloseCode::Expired, false)));
    for (min, max) in [(1, 1), (0, 1), (1, 9), (0, 9)] {
        assert_eq!(refused(&mut world, versions(min, max)), None, "{min} to {max}");
    }
}

/// The dialer names these labels on the attached link, under this epoch, and says something on each.
fn name_labels(world: &mut World, epoch: Epoch, labels: &[&str]) {
    let link = world.acceptor().and_then(|peer| peer.machine.attached()).expect("a link");
    for (channel, label) in (0..).map(ChannelId).zip(labels) {
        let lane = SendingLane {
            channel,
            label: (*label).to_owned(),
            delivery: Ok(bowline::config::Delivery::ReliableOrdered),
            floor: 0,
            end: None,
            skipped: Vec::new(),
            extended: Vec::new(),
        };
        let sending = Sending { epoch, clock_ms: 0, lanes: vec![lane] };
        world.feed(link, Side::Acceptor, Frame::Control(Control::Sending(sending)));
        let (sequence, redelivered, deadline, carrier) = (0, false, None, Carrier::Lane);
        let payload = "x".into();
        let data = Data { channel, sequence, redelivered, deadline, carrier, payload };
        world.feed(link, Side::Acceptor, Frame::Data(data));
    }
}

#[test]
fn answers_a_new_epoch_is_welcome_when_there_is_room_for_what_it_brings() {
    let mut world = connected(Settings { max_channels: 3, ..Settings::default() }, &[]);
    let epoch = |number| Epoch::new(number).expect("not zero");
    let under = |number| move |hello| Hello { epoch: epoch(number), ..hello };
    let attaches = |world: &mut World| world.acceptor().map(|peer| peer.machine.stats().attaches);
    assert_eq!(refused(&mut world, under(2)), None);
    name_labels(&mut world, epoch(2), &["a", "b", "c"]);
    let before = attaches(&mut world);
    // As many labels as a peer may have are left by one epoch that nobody has opened: another epoch is still welcome.
    assert_eq!(refused(&mut world, under(3)), None, "G13");
    assert_eq!(attaches(&mut world), before.map(|before| before + 1));
    name_labels(&mut world, epoch(3), &["d", "e", "f"]);
    assert_eq!(refused(&mut world, under(4)), Some((CloseCode::Busy, true)), "G10");
    assert_eq!(refused(&mut world, under(3)), None, "it brings nothing new");
}

#[test]
fn answers_a_resume_and_a_reset_are_counted_and_say_what_they_found() {
    let mut world = connected(Settings::default(), &["chat"]);
    BOTH.into_iter().for_each(|side| world.open_redelivering(side, "jobs"));
    world.run(secs(1));
    for (label, count) in [("chat", 2), ("jobs", 3)] {
        (0..count).for_each(|_| _ = world.say(Side::Dialer, label, 10));
    }
    world.run(secs(1));
    world.cut_now();
    world.run(secs(5));
    for side in BOTH {
        let stats = world.with(world.on(side), |peer, _, _| peer.machine.stats()).expect("a peer");
        assert_eq!((stats.attaches, stats.resumes, stats.resets), (2, 1, 0), "{side:?}");
    }
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    assert_eq!(world.events(Side::Dialer).last(), Some(&Event::Reset { undelivered: 2, redelivered: 3 }));
    let stats = world.dialer.machine.stats();
    assert_eq!((stats.attaches, stats.resumes, stats.resets), (3, 1, 1));
}

#[test]
fn answers_what_was_never_confirmed_is_not_resumed() {
    let mut world = World::new(Settings::default(), 1);
    // The first Welcome is lost with its link, and the second Hello comes to a session that nobody has confirmed.
    world.cut_with = Some(1);
    world.run(secs(5));
    BOTH.into_iter().for_each(|side| world.open_plainly(side, "chat"));
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.events(Side::Acceptor), [Event::PeerOffline { pending: 0 }, Event::Connected]);
    assert_eq!(world.acceptor().map(|peer| peer.machine.stats().resumes), Some(0));
}

#[test]
fn answers_nothing_is_waited_for_when_both_sides_know_of_the_end() {
    let finished =
        |world: &mut World, side| world.with(world.on(side), |peer, _, _| peer.machine.is_finished());
    // One side says goodbye, the other answers; or both say it at once.
    for closers in [&BOTH[..1], &BOTH[1..], &BOTH[..]] {
        let mut world = connected(Settings::default(), &["chat"]);
        for &side in closers {
            let who = world.on(side);
            world.with(who, |peer, _, now| peer.machine.close(CloseCode::Normal, "bye", secs(5), now));
        }
        world.run(ms(100));
        assert_eq!(BOTH.map(|side| finished(&mut world, side)), [Some(true); 2], "{closers:?}");
    }
}
