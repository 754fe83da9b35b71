//! How links are attached, lost, replaced and refused (rules S1 to S5, G9, G11).

use std::net::SocketAddr;

use bowline::error::CloseCode;
use bowline::id::Epoch;
use bowline::protocol::proof::prove;
use bowline::protocol::types::{Event, LinkId, SessionState};
use bowline::wire::{Control, Frame, Hello, Secret};

use crate::link::Side;
use crate::net::DIALER;
use crate::peer::Life;
use crate::scene::{BOTH, connected, hello_of, ms, secs, stored};
use crate::world::{Settings, Who, World};

/// The epoch of another process with the same session, as after a copy of its store.
fn other() -> Epoch {
    Epoch::new(1).expect("not zero")
}

#[test]
fn attach_a_dialer_that_loses_patience_does_not_end_the_session() {
    // The acceptor's store takes longer than the dialer waits for a Welcome; the next attempt finds it ready.
    let mut world = World::new(Settings { stores: [false, true], ..stored(12_000) }, 1);
    world.open_plainly(Side::Dialer, "chat");
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(11));
    world.settings.store_ms = (1, 1);
    world.run(secs(60));
    world.open_plainly(Side::Acceptor, "chat");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0], "{:?}", world.dialer.closed());
}

#[test]
fn attach_an_acceptor_is_connected_by_the_confirm_and_by_nothing_else() {
    let mut world = World::new(Settings::default(), 1);
    // The first Welcome is lost with its link, and the second Hello comes to a session that nobody has confirmed.
    world.cut_with = Some(1);
    world.run(secs(5));
    assert_eq!(world.tally.cuts, 1);
    assert_eq!(world.acceptors.len(), 1);
    assert_eq!(world.events(Side::Acceptor).last(), Some(&Event::Connected));
    assert!(!world.events(Side::Acceptor).contains(&Event::Resumed { replayed: 0 }));
}

/// A conversation that takes every kind of frame, with the link cut when the `n`th is sent. Returns whether it was.
fn cut_at(n: u64, settings: Settings) -> bool {
    let mut world = World::new(settings, n);
    world.cut_with = Some(n);
    for side in BOTH {
        world.open_plainly(Side::Dialer, "chat");
        world.open_plainly(Side::Acceptor, "chat");
        (0..3).for_each(|_| {
            world.with(world.on(side), |peer, model, now| {
                peer.send("chat", "abc".into(), Life::Channel, model, now).ok()
            });
        });
        world.run(ms(300));
    }
    // What was not accepted yet, because nobody was there, is sent now.
    for side in BOTH {
        world.open_plainly(side, "chat");
        world.say(side, "chat", 10);
    }
    let mut heard = [Vec::new(), Vec::new()];
    for _ in 0..20 {
        world.run(secs(1));
        for (side, heard) in BOTH.into_iter().zip(&mut heard) {
            heard.extend(world.hear(side, "chat"));
        }
    }
    for (side, heard) in BOTH.into_iter().zip(&heard) {
        let sent = world.with(world.on(side.other()), |peer, _, _| peer.receipts.len() as u64);
        let all: Vec<u64> = (0..sent.expect("a peer")).collect();
        assert_eq!(*heard, all, "cut at frame {n}, to the {side:?}");
    }
    BOTH.into_iter().for_each(|side| world.finish(side, "chat"));
    world.run(secs(5));
    let left = BOTH.map(|side| world.is_channel_there(side, "chat"));
    assert_eq!(left, [false; 2], "cut at frame {n}");
    world.with(Who::Dialer, |peer, _, now| peer.machine.close(CloseCode::Normal, "bye", secs(20), now));
    world.run(secs(30));
    assert!(BOTH.iter().all(|&side| world.with(world.on(side), |peer, _, _| peer.is_closed()) == Some(true)));
    for side in BOTH {
        assert_eq!(world.with(world.on(side), |peer, model, now| peer.check_receipts(model, now)), Some(0));
    }
    assert_eq!(world.acceptors.len(), 1, "cut at frame {n}: one session, however often its Welcome is lost");
    let names = world.tally.cuts > 0;
    assert_eq!(world.sent > n, names);
    names
}

#[test]
fn attach_a_cut_at_any_frame_loses_and_repeats_nothing() {
    for settings in [Settings::default(), stored(20)] {
        let cuts = (0..200).take_while(|&n| cut_at(n, settings.clone())).count();
        assert!((25..200).contains(&cuts), "{cuts} frames were cut");
    }
}

#[test]
fn attach_superseded_by_another_copy_is_the_end_and_by_oneself_is_not() {
    let mut world = connected(Settings::default(), &["chat"]);
    // Its own newer link: the old one is suspect, and the dialer reconnects.
    let first = world.dialer.machine.attached().expect("a link");
    world.silence(first, secs(1000));
    world.run(secs(30));
    let second = world.dialer.machine.attached().expect("a link");
    assert_ne!(first, second);
    assert!(world.tally.superseded > 0);
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
    // A copy of the session with a counter that this process never used.
    let link = world.new_link();
    let hello = hello_of(&world, link, 99, world.dialer.machine.epoch());
    world.greet(link, hello, DIALER);
    world.run(secs(1));
    let reason = world.dialer.closed().expect("the end");
    assert_eq!((reason.code, reason.reason.as_str()), (CloseCode::Superseded, "99"));
    let dials = world.tally.dials;
    world.run(secs(300));
    assert_eq!(world.tally.dials, dials);
}

#[test]
fn attach_a_stale_counter_goes_on_with_the_next_one_on_the_same_link() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.cut_now();
    // Somebody with the secret has used counters that the dialer does not know.
    let link = world.new_link();
    let hello = hello_of(&world, link, 7, world.dialer.machine.epoch());
    world.greet(link, hello, DIALER);
    world.run(secs(1));
    assert_eq!(world.tally.stale, 1);
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
    assert_eq!(world.tally.dials, 2, "the first one, and one more");
    let counter = world.last_hello.as_ref().map(|hello| hello.counter);
    assert_eq!(counter, Some(8));
}

#[test]
fn attach_strangers_are_refused_and_the_victim_is_untouched() {
    let mut world = connected(Settings::default(), &["chat"]);
    let attached = world.dialer.machine.attached();
    let refused = |world: &mut World, hello: Hello, link: LinkId, binding: &[u8]| {
        world.greet(link, hello, binding);
        let acceptor = world.acceptor().map(|peer| (peer.machine.attached(), peer.machine.stats().attaches));
        assert_eq!(acceptor, Some((attached, 1)), "G11: a stranger has moved the victim");
        let in_doors = world.links[&link].acceptor_open || world.owners.contains_key(&link);
        assert!(!in_doors, "G11: a stranger is let in");
    };
    // A replay on another connection; under the dialer's own identity and another.
    for binding in [DIALER, b"eve".as_slice()] {
        let hello = world.last_hello.clone().expect("a Hello");
        let link = world.new_link();
        refused(&mut world, hello, link, binding);
    }
    // The right proof, but another identity; a proof with another secret.
    let link = world.new_link();
    let hello = hello_of(&world, link, 50, other());
    refused(&mut world, hello, link, b"eve");
    let link = world.new_link();
    let proof = prove(&Secret([1; 32]), &world.links[&link].exporter, 50);
    let hello = Hello { proof, ..hello_of(&world, link, 50, other()) };
    refused(&mut world, hello, link, DIALER);
    world.say(Side::Dialer, "chat", 10);
    world.run(ms(100));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
}

#[test]
fn attach_the_acceptor_must_be_who_it_was() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say(Side::Dialer, "chat", 10);
    world.cut_now();
    world.run(ms(1));
    world.dial.clear();
    let link = world.new_link();
    let info = world.info(link, b"mallory");
    world.with(Who::Dialer, |peer, _, now| peer.machine.handle_link_up(link, info, now));
    world.settle();
    assert!(!world.links[&link].dialer_open, "G11: a Hello is said to a stranger");
    world.run(secs(10));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
}

#[test]
fn attach_of_two_racing_links_the_newest_wins_in_either_order() {
    for newest_first in [false, true] {
        let mut world = connected(Settings::default(), &["chat"]);
        world.say(Side::Acceptor, "chat", 10);
        world.cut_now();
        let links = [world.new_link(), world.new_link()];
        let mut hellos = links.map(|link| {
            let counter = 20 + link.0;
            (link, hello_of(&world, link, counter, world.dialer.machine.epoch()))
        });
        if newest_first {
            hellos.reverse();
        }
        for (link, hello) in hellos {
            world.greet(link, hello, DIALER);
            world.settle();
        }
        let acceptor =
            world.acceptor().map(|peer| (peer.machine.attached(), peer.machine.stats().fenced_frames));
        assert_eq!(acceptor, Some((Some(links[1]), 0)), "G9: the older one has won");
        // What is still said on the other one is fenced off.
        let lost = Frame::Control(Control::CloseAck);
        world.feed(links[0], Side::Acceptor, lost);
        let acceptor =
            world.acceptor().map(|peer| (peer.machine.attached(), peer.machine.stats().fenced_frames));
        assert_eq!(acceptor, Some((Some(links[1]), 1)), "G9: the older one is heard");
    }
}

#[test]
fn attach_waiting_links_are_bounded() {
    let mut world = connected(Settings::default(), &[]);
    let who = world.on(Side::Acceptor);
    for n in 0..10 {
        let link = world.new_link();
        let info = world.info(link, DIALER);
        world.with(who, |peer, _, now| peer.machine.handle_link_up(link, info, now));
        world.settle();
        assert_eq!(world.links[&link].acceptor_open, n < 4, "link {n}");
    }
}

#[test]
fn attach_single_login_ends_the_older_session() {
    let mut world = connected(Settings { one_per_identity: true, ..Settings::default() }, &["chat"]);
    let old = world.dialer.machine.session();
    world.restart_dialer(0, None);
    world.run(secs(5));
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
    let ended = world.acceptors.get(&old).and_then(|peer| peer.closed());
    assert_eq!(ended.map(|reason| reason.code), Some(CloseCode::Superseded));
    assert_eq!(world.admission.len(), 1);
}

#[test]
fn attach_the_machine_itself_believes_no_proof_but_the_right_one() {
    let mut world = connected(Settings::default(), &["chat"]);
    let who = world.on(Side::Acceptor);
    let before = world.dialer.machine.attached();
    let others: [(&[u8], [u8; 32], bool); 3] =
        [(DIALER, [9; 32], true), (b"eve", world.dialer.setup.secret.0, false), (DIALER, [0; 32], false)];
    for (binding, secret, replayed) in others {
        let link = world.new_link();
        let exporter = if replayed { [7; 32] } else { world.links[&link].exporter };
        let secret = if replayed { world.dialer.setup.secret.clone() } else { Secret(secret) };
        let proof = prove(&secret, &exporter, 50);
        let hello = Hello { proof, ..hello_of(&world, link, 50, other()) };
        let info = world.info(link, binding);
        world.owners.insert(link, world.dialer.machine.session());
        world.with(who, |peer, _, now| {
            peer.machine.handle_link_up(link, info, now);
            peer.machine.handle_frame(link, Frame::Control(Control::Hello(Box::new(hello))), now);
        });
        world.settle();
        assert!(!world.links[&link].acceptor_open, "G11: a stranger is let in");
        let after = world.acceptor().map(|peer| peer.machine.attached());
        assert_eq!(after, Some(before), "G11: a stranger has moved the victim");
    }
}

#[test]
fn attach_nothing_comes_before_a_welcome_that_waits_for_its_store() {
    let mut world = World::new(Settings { stores: [false, true], ..stored(500) }, 1);
    world.open_plainly(Side::Dialer, "chat");
    let waits = |world: &mut World| world.acceptor().is_some_and(|peer| peer.machine.attached().is_some());
    assert!(world.run_until(secs(1), waits));
    let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
    world.with(world.on(Side::Acceptor), |peer, _, _| {
        let link = peer.machine.attached().expect("a link");
        peer.machine.handle_path_changed(link, address(1), address(2));
    });
    assert_eq!(world.dialer.machine.stats().attaches, 0, "it waits for its Welcome");
    world.run(secs(2));
    assert_eq!(world.dialer.closed(), None);
    assert_eq!(world.dialer.machine.stats().heartbeat.mappings_lost, 1, "it is told afterwards");
}
