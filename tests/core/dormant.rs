//! A dialer that is not heard, or that says it goes away: what waits for it is held (rules H1, T3, T6).

use bowline::config::Delivery;
use bowline::error::{CloseCode, Outcome};
use bowline::protocol::types::{Event, PathLiveness, Progress, SessionState, Whereabouts};
use bowline::wire::{Control, Frame};

use crate::link::Side;
use crate::scene::{connected, connected_as, in_mode, ms, secs, stored};
use crate::world::{Settings, Who, World};

/// The dialer's process is stopped, and has been for longer than its lease.
fn dormant(world: &mut World, length: u64) {
    world.stop(Who::Dialer, secs(length));
    world.run(secs(30));
    let events = world.events(Side::Acceptor);
    assert_eq!(events, [Event::Suspect, Event::PeerOffline { pending: 0 }]);
    world.with(world.on(Side::Acceptor), |peer, _, _| (peer.events.clear(), peer.frames.clear()));
}

fn frames(world: &mut World, side: Side) -> Vec<&'static str> {
    world.with(world.on(side), |peer, _, _| peer.frames.clone()).expect("a peer")
}

fn state(world: &mut World, side: Side) -> SessionState {
    world.with(world.on(side), |peer, _, _| peer.machine.state()).expect("a peer")
}

fn whereabouts(world: &mut World, side: Side) -> Vec<Whereabouts> {
    world
        .with(world.on(side), |peer, _, _| {
            let waiting = peer.machine.undelivered(peer.channels["chat"].key);
            waiting.iter().map(|message| message.whereabouts).collect()
        })
        .expect("a peer")
}

/// Takes back what was never written; how many that were.
fn take_back(world: &mut World, side: Side) -> usize {
    world.with(world.on(side), |peer, model, now| peer.take_back("chat", model, now)).expect("a peer")
}

fn presence(world: &mut World, away: bool, asleep: u64) {
    world.with(Who::Dialer, |peer, _, now| match away {
        true => peer.machine.going_to_background(),
        false => peer.machine.resumed(secs(asleep), now),
    });
}

#[test]
fn dormant_dialers_get_no_message_until_they_are_heard_and_then_at_once() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    dormant(&mut world, 100);
    assert_eq!(state(&mut world, Side::Acceptor), SessionState::Detached);
    let held = world.say(Side::Acceptor, "chat", 10);
    world.run(secs(60));
    assert_eq!(frames(&mut world, Side::Acceptor), Vec::<&str>::new());
    assert_eq!(world.progress(Side::Acceptor, held), Progress::Accepted);
    assert_eq!(whereabouts(&mut world, Side::Acceptor), [Whereabouts::Kept]);
    assert!(world.run_until(secs(60), |world| !world.events(Side::Acceptor).is_empty()));
    assert_eq!(world.events(Side::Acceptor), [Event::Recovered]);
    world.run(ms(100));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    assert_eq!(state(&mut world, Side::Acceptor), SessionState::Connected);
    assert_eq!(world.tally.dials, 1, "the link is the same");
}

#[test]
fn dormant_dialers_leave_deadlines_to_the_sender_alone() {
    for mode in [Delivery::ReliableOrdered, Delivery::ReliableUnordered, Delivery::Unreliable] {
        let mut world = connected_as(Settings::default(), &in_mode(mode));
        world.forget_events();
        dormant(&mut world, 100);
        let short = world.say_for(Side::Acceptor, "chat", 10, 5000);
        let long = world.say_for(Side::Acceptor, "chat", 10, 500_000);
        world.run(secs(6));
        assert_eq!(world.outcome(Side::Acceptor, short), Some(Outcome::Expired), "{mode}");
        assert_eq!(world.stats(Side::Acceptor, "chat").expired, 1, "{mode}");
        assert_eq!(world.outcome(Side::Acceptor, long), None, "{mode}");
        world.run(secs(100));
        assert_eq!(world.hear(Side::Dialer, "chat"), [1], "{mode}");
    }
}

#[test]
fn dormant_dialers_are_told_of_once_although_their_link_dies_as_well() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    dormant(&mut world, 1000);
    world.cut_now();
    world.run(secs(1));
    assert_eq!(world.events(Side::Acceptor), []);
    assert_eq!(world.acceptor().map(|peer| peer.machine.stats().liveness.path), Some(PathLiveness::Down));
}

#[test]
fn dormant_dialers_have_their_session_for_as_long_as_without_a_link() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    dormant(&mut world, 10_000);
    let held = world.say(Side::Acceptor, "chat", 10);
    world.run(secs(570));
    assert_eq!(state(&mut world, Side::Acceptor), SessionState::Detached);
    world.run(secs(30));
    let closed = world.acceptor().and_then(|peer| peer.closed()).expect("it has ended");
    assert_eq!(closed.code, CloseCode::Expired);
    assert_eq!(world.outcome(Side::Acceptor, held), Some(Outcome::Unknown));
}

#[test]
fn dormant_what_waits_is_taken_back_and_what_is_in_doubt_stays() {
    for settings in [Settings::default(), stored(5)] {
        let mut world = connected(settings, &["chat"]);
        world.forget_events();
        world.stop(Who::Dialer, secs(100));
        world.say(Side::Acceptor, "chat", 10);
        world.run(secs(60));
        let kept = world.say(Side::Acceptor, "chat", 20);
        world.say(Side::Acceptor, "chat", 30);
        let both = [Whereabouts::InDoubt, Whereabouts::Kept, Whereabouts::Kept];
        assert_eq!(whereabouts(&mut world, Side::Acceptor), both);
        assert_eq!(take_back(&mut world, Side::Acceptor), 2);
        assert_eq!(world.outcome(Side::Acceptor, kept), Some(Outcome::Cancelled));
        assert_eq!(whereabouts(&mut world, Side::Acceptor), [Whereabouts::InDoubt]);
        assert_eq!(take_back(&mut world, Side::Acceptor), 0);
        world.run(secs(100));
        world.say(Side::Acceptor, "chat", 40);
        world.run(secs(1));
        assert_eq!(world.hear(Side::Dialer, "chat"), [0, 3], "nothing comes twice, nothing stops the order");
    }
}

#[test]
fn dormant_from_the_moment_on_at_which_the_dialer_says_that_it_goes_away() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    presence(&mut world, true, 0);
    world.run(ms(100));
    assert_eq!(world.events(Side::Acceptor), [Event::PeerOffline { pending: 0 }]);
    world.say(Side::Acceptor, "chat", 10);
    // What the dialer still says is taken, and acknowledged; it is no sign that it is back.
    let last = world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.outcome(Side::Dialer, last), Some(Outcome::Handled));
    world.forget_events();
    world.run(secs(500));
    assert_eq!(frames(&mut world, Side::Dialer), Vec::<&str>::new(), "no beat, no probe");
    assert_eq!(frames(&mut world, Side::Acceptor), Vec::<&str>::new(), "and nothing is told to nobody");
    presence(&mut world, false, 500);
    world.run(ms(200));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    assert_eq!(world.events(Side::Acceptor), [Event::Recovered]);
    assert_eq!(world.events(Side::Dialer), [Event::Suspect, Event::Recovered], "the mapping may be gone");
    assert_eq!(world.tally.dials, 1);
}

#[test]
fn dormant_for_a_moment_is_no_doubt() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    presence(&mut world, true, 0);
    world.run(secs(3));
    presence(&mut world, false, 3);
    world.run(secs(1));
    assert_eq!(world.events(Side::Dialer), []);
    assert!(frames(&mut world, Side::Dialer).contains(&"Heartbeat"), "the path was proved");
    assert_eq!(world.events(Side::Acceptor), [Event::PeerOffline { pending: 0 }, Event::Recovered]);
}

#[test]
fn dormant_dialers_do_not_dial_and_do_so_at_once_when_they_are_back() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    presence(&mut world, true, 0);
    world.run(secs(1));
    world.cut_now();
    world.with(Who::Dialer, |peer, _, now| {
        peer.machine.network_changed(now);
        peer.machine.reconnect(now);
    });
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(300));
    assert_eq!(world.tally.dials, 1);
    presence(&mut world, false, 300);
    world.run(ms(500));
    assert_eq!(world.tally.dials, 2);
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
}

#[test]
fn dormant_dialers_whose_dial_was_under_way_say_it_on_the_new_link() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    world.cut_now();
    world.run(ms(1));
    presence(&mut world, true, 0);
    world.run(secs(5));
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(5));
    assert_eq!(world.hear(Side::Dialer, "chat"), Vec::<u64>::new());
    let offline = |event: &&Event| matches!(event, Event::PeerOffline { .. });
    assert_eq!(world.events(Side::Acceptor).iter().filter(offline).count(), 2, "cut, and away");
    presence(&mut world, false, 10);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
}

#[test]
fn dormant_acceptors_do_not_exist() {
    let mut world = connected(Settings::default(), &["chat"]);
    let link = world.dialer.machine.attached().expect("a link");
    world.feed(link, Side::Dialer, Frame::Control(Control::Presence { away: true }));
    world.run(secs(1));
    let closed = world.dialer.closed().expect("it has ended");
    assert_eq!(closed.code, CloseCode::ProtocolViolation);
}
