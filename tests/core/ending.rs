//! How sessions end: drained, told, remembered, broken off (rules T3, T4, S5).

use std::time::Duration;

use bowline::error::{CloseCode, Side as By};

use crate::link::Side;
use crate::scene::{BOTH, connected, ms, secs, stored};
use crate::world::{Settings, World};

fn close(world: &mut World, side: Side, drain: Duration) {
    world.with(world.on(side), |peer, _, now| peer.machine.close(CloseCode::Normal, "bye", drain, now));
}

fn reason(world: &mut World, side: Side) -> Option<(CloseCode, By, bool)> {
    let closed = world.with(world.on(side), |peer, _, _| peer.closed()).flatten();
    closed.map(|reason| (reason.code, reason.side, reason.clean))
}

#[test]
fn ending_at_once_does_not_wait_for_an_answer_on_a_link_that_is_believed_to_be_dead() {
    let mut world = connected(Settings::default(), &["chat"]);
    let link = world.dialer.machine.attached().expect("a link");
    world.silence(link, secs(1000));
    world.net_up = false;
    world.run(secs(60));
    assert_eq!(world.dialer.machine.attached(), Some(link), "it stays until there is another one");
    for side in BOTH {
        close(&mut world, side, Duration::ZERO);
        world.run(ms(1));
        assert_eq!(reason(&mut world, side), Some((CloseCode::Normal, By::Local, false)), "{side:?}");
    }
}

#[test]
fn ending_is_told_when_a_link_that_was_believed_to_be_dead_lives() {
    for side in BOTH {
        let mut world = connected(Settings::default(), &["chat"]);
        let link = world.dialer.machine.attached().expect("a link");
        world.silence(link, secs(60));
        world.net_up = false;
        world.run(secs(50));
        close(&mut world, side, secs(30));
        world.run(secs(9));
        assert_eq!(reason(&mut world, side), None, "{side:?}: it has time");
        world.run(secs(2));
        assert_eq!(reason(&mut world, side), Some((CloseCode::Normal, By::Local, true)), "{side:?}");
        assert_eq!(reason(&mut world, side.other()), Some((CloseCode::Normal, By::Remote, true)), "{side:?}");
    }
}

#[test]
fn ending_what_was_accepted_is_drained_and_both_sides_know() {
    for closer in BOTH {
        for settings in [Settings::default(), stored(50)] {
            let mut world = connected(settings, &["chat"]);
            world.say(closer, "chat", 10);
            close(&mut world, closer, secs(30));
            world.run(secs(1));
            assert_eq!(reason(&mut world, closer), None, "the message is still there to be taken");
            assert_eq!(world.hear(closer.other(), "chat"), [0]);
            world.run(secs(1));
            assert_eq!(reason(&mut world, closer), Some((CloseCode::Normal, By::Local, true)));
            assert_eq!(reason(&mut world, closer.other()), Some((CloseCode::Normal, By::Remote, true)));
            world.run(secs(600));
            assert_eq!(world.tally.dials, 1, "G15: who has closed never reconnects");
        }
    }
}

#[test]
fn ending_with_nothing_to_drain_waits_for_nothing_but_the_store() {
    let mut world = World::new(stored(200), 1);
    close(&mut world, Side::Dialer, secs(30));
    world.run(secs(3));
    assert_eq!(reason(&mut world, Side::Dialer), Some((CloseCode::Normal, By::Local, true)));
    assert_eq!(reason(&mut world, Side::Acceptor), Some((CloseCode::Normal, By::Remote, true)));
}

#[test]
fn ending_a_close_that_found_nobody_is_told_at_the_next_contact() {
    let mut world = connected(Settings::default(), &["chat"]);
    let id = world.say(Side::Dialer, "chat", 10);
    world.net_up = false;
    world.cut_all([Some(ms(0)), Some(ms(0))]);
    world.say(Side::Acceptor, "chat", 10);
    close(&mut world, Side::Acceptor, secs(1));
    world.run(secs(2));
    assert_eq!(reason(&mut world, Side::Acceptor), Some((CloseCode::Normal, By::Local, false)));
    assert_eq!(reason(&mut world, Side::Dialer), None);
    world.net_up = true;
    world.run(secs(60));
    assert_eq!(reason(&mut world, Side::Dialer), Some((CloseCode::Normal, By::Remote, false)));
    assert!(matches!(
        world.progress(Side::Dialer, id),
        bowline::protocol::types::Progress::Resolved(bowline::error::Outcome::Unknown)
    ));
}

#[test]
fn ending_a_drain_that_runs_out_leaves_unknown_and_says_so() {
    let mut world = connected(Settings::default(), &["chat"]);
    let id = world.say(Side::Dialer, "chat", 10);
    close(&mut world, Side::Dialer, secs(2));
    world.run(ms(1900));
    assert_eq!(reason(&mut world, Side::Dialer), None);
    world.run(ms(300));
    assert_eq!(reason(&mut world, Side::Dialer), Some((CloseCode::Normal, By::Local, false)));
    let unknown = bowline::protocol::types::Progress::Resolved(bowline::error::Outcome::Unknown);
    assert_eq!(world.progress(Side::Dialer, id), unknown);
}

#[test]
fn ending_a_session_without_a_link_expires_on_both_sides() {
    let mut world = connected(Settings { expiry: secs(100), ..Settings::default() }, &["chat"]);
    let ids = BOTH.map(|side| (side, world.say(side, "chat", 10)));
    world.net_up = false;
    world.cut_all([Some(ms(0)), Some(ms(0))]);
    world.run(secs(99));
    assert!(BOTH.iter().all(|&side| reason(&mut world, side).is_none()));
    world.run(secs(2));
    for (side, id) in ids {
        assert_eq!(reason(&mut world, side), Some((CloseCode::Expired, By::Local, false)));
        let unknown = bowline::protocol::types::Progress::Resolved(bowline::error::Outcome::Unknown);
        assert_eq!(world.progress(side, id), unknown);
    }
    assert!(world.admission.is_empty());
}

#[test]
fn ending_a_stopped_process_neither_expires_nor_kills() {
    for side in BOTH {
        let mut world = connected(Settings::default(), &["chat"]);
        world.net_up = false;
        world.cut_all([Some(ms(0)), Some(ms(0))]);
        world.run(secs(1));
        let (dialer, acceptor) = (world.on(Side::Dialer), world.on(Side::Acceptor));
        world.stop(dialer, secs(5000));
        world.stop(acceptor, secs(5000));
        world.run(secs(4999));
        world.net_up = true;
        world.say(side, "chat", 10);
        world.run(secs(120));
        assert_eq!(world.hear(side.other(), "chat"), [0], "{:?}", world.dialer.closed());
    }
}
