//! Time: heartbeat, suspicion, dialing again, expiry (rules H1, H3, T2, T3, T5).

use bowline::config::ReconnectPolicy;
use bowline::protocol::types::{Event, LinkId, Output, PathLiveness, SessionState};
use bowline::wire::{BeatKind, Frame, Health, Heartbeat};

use crate::link::Side;
use crate::scene::{connected, ms, secs};
use crate::world::{Settings, Who, World};

/// The one link that is attached on the dialing side.
fn link(world: &World) -> LinkId {
    world.dialer.machine.attached().expect("a link")
}

#[test]
fn life_a_racing_attempt_that_fails_leaves_the_recovered_link_alone() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    let first = link(&world);
    world.silence(first, secs(1000));
    // Dead after 15 s and six answers; the racing link hangs as well, and the old one recovers while it does.
    world.run_until(secs(40), |world| world.links.len() > 1);
    let second = world.links.keys().copied().max().expect("a link");
    world.silence(second, secs(1000));
    world.silence(first, ms(500));
    world.net_up = false;
    world.run(secs(300));
    let events = world.events(Side::Dialer);
    assert!(events.contains(&Event::Recovered), "{events:?}");
    assert!(!events.contains(&Event::GaveUp), "{events:?}");
    assert_eq!(link(&world), first);
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
    world.say(Side::Dialer, "chat", 10);
    world.run(ms(100));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
}

#[test]
fn life_a_service_whose_messages_have_expired_is_not_stalled() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    world.say_for(Side::Dialer, "chat", 10, 10_000);
    world.run(secs(60));
    let service = [Health::Stalled, Health::Serving].map(Event::Service);
    assert_eq!(world.events(Side::Dialer), service);
}

#[test]
fn life_a_message_given_back_after_its_deadline_puts_nothing_off() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say_for(Side::Acceptor, "chat", 10, 100);
    world.run(ms(50));
    assert_eq!(world.take(Side::Dialer, "chat"), 1);
    world.run(secs(60));
    world.cut_now();
    world.run_until(secs(1), |world| world.links.values().any(|link| !link.cut));
    // The next link dies before its Welcome, and nobody notices: that takes 2 s.
    world.cut_all([None, None]);
    world.settle_taken(Side::Dialer, "chat", 2);
    world.run(secs(5));
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
}

fn beats(world: &mut World, side: Side) -> usize {
    let count = |peer: &crate::peer::Peer| peer.frames.iter().filter(|frame| **frame == "Heartbeat").count();
    world.with(world.on(side), |peer, _, _| count(peer)).expect("a peer")
}

#[test]
fn life_one_beat_an_attach_and_one_an_interval_when_nothing_is_said() {
    let mut world = World::new(Settings::default(), 1);
    world.run(secs(5));
    assert_eq!((beats(&mut world, Side::Dialer), beats(&mut world, Side::Acceptor)), (1, 1));
    world.run(secs(600));
    let (asked, answered) = (beats(&mut world, Side::Dialer), beats(&mut world, Side::Acceptor));
    assert_eq!(asked, answered, "every beat is answered, no answer is");
    assert!((40..=46).contains(&asked), "{asked} beats in ten minutes at up to 10 % less than 15 s");
    assert_eq!(world.tally.suspected, 0);
    world.cut_now();
    world.run(secs(5));
    assert_eq!(beats(&mut world, Side::Dialer), asked + 1);
}

#[test]
fn life_acknowledged_traffic_replaces_beats_and_inbound_traffic_does_not() {
    for (sender, least, most) in [(Side::Dialer, 0, 0), (Side::Acceptor, 4, 6)] {
        // The acceptor's messages are acknowledged by the dialer, but nobody acknowledges the acknowledgements.
        let mut world = connected(Settings { acks: false, ..Settings::default() }, &["chat"]);
        world.forget_events();
        for _ in 0..60 {
            world.say(sender, "chat", 10);
            world.run(ms(500));
            world.hear(sender.other(), "chat");
            world.run(ms(500));
        }
        let beats = beats(&mut world, Side::Dialer);
        assert!((least..=most).contains(&beats), "{sender:?} sends: {beats} beats in a minute");
    }
}

#[test]
fn life_a_short_silence_is_suspected_and_recovers_without_a_new_link() {
    let mut world = connected(Settings::default(), &["chat"]);
    let first = link(&world);
    world.forget_events();
    world.silence(first, secs(1000));
    assert!(world.run_until(secs(30), |world| world.events(Side::Dialer) == [Event::Suspect]));
    world.silence(first, ms(300));
    world.run(secs(60));
    assert_eq!(world.events(Side::Dialer), [Event::Suspect, Event::Recovered]);
    assert_eq!((link(&world), world.tally.dials), (first, 1));
}

#[test]
fn life_a_dead_path_is_raced_while_the_old_link_stays() {
    let mut world = connected(Settings::default(), &["chat"]);
    let first = link(&world);
    world.forget_events();
    world.silence(first, secs(1000));
    world.say(Side::Dialer, "chat", 10);
    assert!(world.run_until(secs(30), |world| world.tally.dials == 2));
    assert_eq!(link(&world), first, "the old link stays until the new one is welcomed");
    assert_eq!(world.dialer.machine.stats().liveness.path, PathLiveness::Suspect);
    world.run(secs(1));
    assert_ne!(link(&world), first);
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    let resumed = Event::Resumed { replayed: 1 };
    assert!(world.events(Side::Dialer).contains(&resumed), "{:?}", world.events(Side::Dialer));
    // The acceptor was told on the new link that its peer is there.
    assert_eq!(world.acceptor().map(|peer| peer.machine.stats().liveness.path), Some(PathLiveness::Alive));
}

#[test]
fn life_the_policy_gives_up_keeps_everything_and_goes_on_when_asked() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    world.say(Side::Dialer, "chat", 10);
    world.net_up = false;
    world.cut_all([Some(ms(0)), Some(ms(0))]);
    world.run(secs(300));
    assert_eq!(world.events(Side::Dialer).last(), Some(&Event::GaveUp));
    let dials = world.tally.dials;
    assert_eq!(dials, 8, "the first, and seven again");
    world.net_up = true;
    world.run(secs(100));
    assert_eq!((world.tally.dials, world.dialer.machine.unresolved()), (dials, 1));
    world.with(Who::Dialer, |peer, _, now| peer.machine.reconnect(now));
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.dialer.machine.unresolved(), 0);
}

#[test]
fn life_the_responsive_policy_is_back_within_a_second() {
    let mut world =
        connected(Settings { policy: ReconnectPolicy::Responsive, ..Settings::default() }, &["chat"]);
    world.net_up = false;
    world.cut_all([Some(ms(0)), Some(ms(0))]);
    world.run(secs(500));
    world.net_up = true;
    world.run(ms(2500));
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
}

#[test]
fn life_a_stopped_process_comes_back_without_a_verdict_on_others() {
    for side in [Side::Dialer, Side::Acceptor] {
        let mut world = connected(Settings::default(), &["chat"]);
        world.forget_events();
        let who = world.on(side);
        // A beat was answered just now, so that the next one is not due while the process is stopped.
        let answered = world.dialer.machine.stats().beats_received;
        let is_answered = |world: &mut World| world.dialer.machine.stats().beats_received > answered;
        assert!(world.run_until(secs(20), is_answered));
        world.stop(who, secs(7));
        world.run(secs(100));
        assert_eq!(world.events(side), [], "{side:?}");
        assert_eq!(world.dialer.machine.state(), SessionState::Connected);
    }
}

#[test]
fn life_a_dialer_that_is_not_heard_is_missed_by_the_acceptor() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(20));
    world.forget_events();
    world.stop(Who::Dialer, secs(1000));
    world.run(secs(15));
    assert_eq!(world.events(Side::Acceptor), [], "its next beat may still come");
    let missed = [Event::Suspect, Event::PeerOffline { pending: 1 }];
    world.run_until(secs(300), |world| !world.events(Side::Acceptor).is_empty());
    assert_eq!(world.events(Side::Acceptor), missed, "H8: nothing was heard for long");
}

#[test]
fn life_an_answer_carries_the_parity_of_its_beat_and_is_not_answered() {
    let mut world = connected(Settings::default(), &[]);
    let link = link(&world);
    for kind in [BeatKind::Beat, BeatKind::Answer] {
        for parity in [false, true] {
            let beat = Heartbeat { kind, parity, health: Health::Serving, interval: 3 };
            let said = world.with(world.on(Side::Acceptor), |peer, _, now| {
                peer.machine.handle_frame(link, Frame::Heartbeat(beat), now);
                let outputs = std::iter::from_fn(|| match peer.machine.poll_output(now) {
                    Output::Wait(_) => None,
                    output => Some(output),
                });
                let beat = |output| match output {
                    Output::Transmit { frame: Frame::Heartbeat(beat), .. } => Some((beat.kind, beat.parity)),
                    _ => None,
                };
                outputs.filter_map(beat).collect::<Vec<_>>()
            });
            let expected = if kind == BeatKind::Beat { vec![(BeatKind::Answer, parity)] } else { Vec::new() };
            assert_eq!(said, Some(expected), "G15: to a {kind:?}");
        }
    }
}
