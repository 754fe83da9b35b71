//! Channels: labels open, finish, are refused and open again (rules C1, N1, R1).

use std::time::Duration;

use bowline::error::{Outcome, SendError};
use bowline::protocol::types::{Progress, SessionState};

use crate::link::Side;
use crate::peer::Life;
use crate::scene::{BOTH, connected, ms, secs};
use crate::world::{MAX_MESSAGE, Settings, Shape, Who, World};

/// Both sides finish a label; the news that the acceptor has it all is lost with the link.
fn half_forgotten(world: &mut World) {
    world.finish(Side::Dialer, "chat");
    world.run(secs(1));
    world.finish(Side::Acceptor, "chat");
    // The acceptor's end reaches the dialer, which is then through; its answer does not reach the acceptor.
    while world.is_channel_there(Side::Dialer, "chat") {
        world.run(Duration::from_millis(1));
    }
    world.cut_all([Some(ms(0)), Some(ms(0))]);
    assert!(world.is_channel_there(Side::Acceptor, "chat"));
}

#[test]
fn channels_a_label_opens_again_though_the_news_of_its_end_was_lost() {
    let mut world = connected(Settings { max_channels: 1, ..Settings::default() }, &["chat"]);
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    half_forgotten(&mut world);
    world.open_plainly(Side::Dialer, "chat");
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(5));
    world.open_plainly(Side::Acceptor, "chat");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0], "{:?}", world.dialer.closed());
    // It is another channel: both sides begin anew.
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    world.check();
}

#[test]
fn channels_both_sides_forget_what_is_over() {
    let mut world = connected(Settings::default(), &["chat"]);
    half_forgotten(&mut world);
    world.run(secs(5));
    assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")));
}

#[test]
fn channels_a_verdict_outlives_the_link_that_carried_it() {
    let mut world = connected(Settings::default(), &["chat"]);
    let id = world.say(Side::Dialer, "chat", 10);
    world.finish(Side::Dialer, "chat");
    world.finish(Side::Acceptor, "chat");
    world.run(secs(1));
    assert_eq!(world.take(Side::Acceptor, "chat"), 1);
    world.settle_taken(Side::Acceptor, "chat", 1);
    world.settle();
    // The acceptor has told, and is through with the channel; the dialer has not heard.
    world.cut_now();
    world.run(secs(5));
    let rejected = Progress::Resolved(Outcome::Rejected { reason: "not this one".to_owned() });
    assert_eq!(world.progress(Side::Dialer, id), rejected);
    assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")));
}

#[test]
fn channels_a_verdict_is_kept_though_the_word_that_it_is_known_is_lost() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say(Side::Dialer, "chat", 10);
    world.finish(Side::Dialer, "chat");
    world.finish(Side::Acceptor, "chat");
    world.run(secs(1));
    assert_eq!(world.take(Side::Acceptor, "chat"), 1);
    world.settle_taken(Side::Acceptor, "chat", 1);
    while world.is_channel_there(Side::Dialer, "chat") {
        world.run(ms(1));
    }
    world.cut_now();
    world.run(secs(5));
    assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")));
}

#[test]
fn channels_the_end_is_told_though_the_last_message_is_of_a_former_epoch() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    world.open_plainly(Side::Acceptor, "chat");
    world.finish(Side::Acceptor, "chat");
    world.finish(Side::Dialer, "chat");
    world.run(secs(1));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    world.run(secs(1));
    assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")));
}

#[test]
fn channels_room_left_by_former_epochs_is_granted_again() {
    let mut world = connected(Settings::default(), &["chat"]);
    for _ in 0..3 {
        world.say(Side::Acceptor, "chat", 65_536);
    }
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    world.open_plainly(Side::Acceptor, "chat");
    world.say(Side::Acceptor, "chat", 10);
    world.say(Side::Acceptor, "chat", 65_536);
    world.run(secs(1));
    // Beyond the first credit there is none until the old ones are taken.
    assert_eq!(world.hear(Side::Dialer, "chat"), [0, 1, 2, 0]);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Dialer, "chat"), [1]);
}

#[test]
fn channels_what_waits_for_a_message_that_is_lost_keeps_no_new_epoch_away() {
    let mut world = connected(Settings::default(), &[]);
    world.open_plainly(Side::Acceptor, "chat");
    // The large one finds no room before the dialer has opened the label. Those behind it are there, and cannot be taken.
    world.say(Side::Acceptor, "chat", 70_000);
    (0..30).for_each(|_| _ = world.say(Side::Acceptor, "chat", 10));
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.open(Side::Dialer, "chat", &Shape { inbox: (10, MAX_MESSAGE), ..Shape::plain() });
    assert_eq!(world.hear(Side::Dialer, "chat"), []);
    world.run(secs(5));
    assert_eq!(world.dialer.machine.state(), SessionState::Connected, "G13");
    // Now they can be. With as many again, in a third epoch, the application has to.
    world.open_plainly(Side::Acceptor, "chat");
    (0..30).for_each(|_| _ = world.say(Side::Acceptor, "chat", 10));
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(20));
    assert_eq!(world.dialer.machine.state(), SessionState::Detached, "G10");
    let heard = world.hear(Side::Dialer, "chat");
    assert_eq!(heard, (1..=30).chain(0..30).collect::<Vec<_>>());
    world.run(secs(60));
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
}

#[test]
fn channels_what_a_former_epoch_left_expires_and_ends_with_nobody_looking() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say_for(Side::Acceptor, "chat", 10, 5000);
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(1));
    world.open_plainly(Side::Acceptor, "chat");
    BOTH.into_iter().for_each(|side| world.finish(side, "chat"));
    world.run(secs(1));
    assert_eq!(world.stats(Side::Dialer, "chat").inbox_messages, 1);
    world.run(secs(10));
    let stats = world.stats(Side::Dialer, "chat");
    assert_eq!((stats.inbox_messages, stats.inbox_bytes, stats.late), (0, 0, 1));
    assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")));
}

#[test]
fn channels_a_label_that_nobody_opened_is_given_once_and_again_after_a_restart() {
    let settings = Settings { stores: [true, true], ..Settings::default() };
    let mut world = connected(settings, &[]);
    world.open_plainly(Side::Dialer, "chat");
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    assert_eq!(world.incoming(), ["chat"]);
    assert_eq!(world.incoming(), [""; 0]);
    world.open_plainly(Side::Acceptor, "chat");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
}

#[test]
fn channels_a_label_announced_under_two_epochs_is_given_once() {
    let mut world = connected(Settings::default(), &[]);
    world.open_plainly(Side::Acceptor, "chat");
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    world.open_plainly(Side::Acceptor, "chat");
    world.run(secs(1));
    let label = |world: &mut World| world.dialer.machine.next_incoming().map(|(label, _)| label);
    assert_eq!(label(&mut world).as_deref(), Some("chat"));
    assert_eq!(label(&mut world), None);
}

#[test]
fn channels_what_the_peer_does_not_take_is_rejected_when_that_is_known() {
    let settings = Settings { max_message: [MAX_MESSAGE, 1000], ..Settings::default() };
    let mut world = World::new(settings, 1);
    world.open_plainly(Side::Dialer, "chat");
    let sizes = [10, 2000, 10, 1001, 1000];
    let ids = sizes.map(|size| world.say(Side::Dialer, "chat", size));
    world.run(secs(1));
    world.open_plainly(Side::Acceptor, "chat");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(secs(1));
    // What comes after a rejected message waits for the word that it does not come.
    assert_eq!(world.hear(Side::Acceptor, "chat"), [2]);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [4]);
    world.run(secs(1));
    let ends = ids.map(|id| matches!(world.progress(Side::Dialer, id), Progress::Resolved(Outcome::Handled)));
    assert_eq!(ends, [true, false, true, false, true]);
    let payload = vec![0; 1001].into();
    let refused =
        world.with(Who::Dialer, |peer, model, now| peer.send("chat", payload, Life::Channel, model, now));
    assert_eq!(refused, Some(Err(SendError::TooLarge { size: 1001, limit: 1000 })));
}

#[test]
fn channels_a_message_too_large_for_the_peer_is_not_sent_after_a_restart() {
    let settings =
        Settings { stores: [true, false], max_message: [MAX_MESSAGE, 1000], ..Settings::default() };
    let mut world = World::new(settings, 1);
    world.open_plainly(Side::Dialer, "chat");
    let id = world.say(Side::Dialer, "chat", 2000);
    // The process ends before its first connection; the next one cannot know that.
    world.run(ms(10));
    world.model.losses += 1;
    world.restart_dialer(0, None);
    world.run(secs(5));
    assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
    assert_eq!(world.progress(Side::Dialer, id), Progress::Resolved(Outcome::Unknown));
}

#[test]
fn channels_a_closed_inbox_stays_closed_when_the_peer_begins_anew() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.refuse(Side::Dialer, "chat");
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    world.open_plainly(Side::Acceptor, "chat");
    let id = world.say(Side::Acceptor, "chat", 10);
    world.run(secs(1));
    let rejected = Progress::Resolved(Outcome::Rejected { reason: "no more".to_owned() });
    assert_eq!(world.progress(Side::Acceptor, id), rejected);
    assert_eq!(world.hear(Side::Dialer, "chat"), [0; 0]);
}

#[test]
fn channels_labels_left_by_former_epochs_are_bounded() {
    let mut world = connected(Settings { max_channels: 3, ..Settings::default() }, &[]);
    for epoch in 0..6 {
        for label in 0..3 {
            let label = format!("{epoch}.{label}");
            world.open_plainly(Side::Acceptor, &label);
            world.with(world.on(Side::Acceptor), |peer, model, now| {
                peer.send(&label, "x".into(), Life::Channel, model, now).ok()
            });
        }
        world.run(secs(20));
        world.restart_acceptor(0, Some(ms(0)));
        world.run(secs(20));
        assert!(world.dialer.machine.stats().channels <= 6, "{}", world.dialer.machine.stats().channels);
    }
    assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
}

#[test]
fn channels_redelivery_passes_over_what_was_handled_before() {
    let mut world = connected(Settings::default(), &[]);
    for side in BOTH {
        world.open_redelivering(side, "chat");
    }
    for _ in 0..4 {
        world.say(Side::Dialer, "chat", 10);
    }
    world.run(secs(1));
    // The first is in the application's hands, the others are handled; then the acceptor forgets.
    world.with(world.on(Side::Acceptor), |peer, model, now| peer.take("chat", 1, model, now));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [1, 2, 3]);
    world.run(secs(1));
    world.say(Side::Dialer, "chat", 10);
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    world.open_redelivering(Side::Acceptor, "chat");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [4]);
    assert_eq!(world.model.counts.redelivered, 2);
}

#[test]
fn channels_a_later_rejection_hides_no_earlier_gap() {
    let settings = Settings { max_message: [MAX_MESSAGE, 1000], ..Settings::default() };
    let mut world = World::new(settings, 1);
    world.open_plainly(Side::Dialer, "chat");
    for size in [10, 10, 2000, 10] {
        world.say(Side::Dialer, "chat", size);
    }
    world.run(secs(1));
    world.open_plainly(Side::Acceptor, "chat");
    // The third is known to be too large before the first is rejected; the fourth is still to be heard of.
    world.with(world.on(Side::Acceptor), |peer, model, now| peer.take("chat", 1, model, now));
    world.settle_taken(Side::Acceptor, "chat", 1);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [1]);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [3]);
}

#[test]
fn channels_a_sender_stops_exactly_at_its_window() {
    // Until the label is opened it is 64 KiB, and 1,024 messages; one more would end the session.
    for (size, fits, more) in [(65_536, 1, 1), (16_384, 4, 1), (0, 1024, 5)] {
        let mut world = connected(Settings::default(), &[]);
        let shape = Shape { outbox: (2000, 1 << 20), inbox: (2000, MAX_MESSAGE), ..Shape::plain() };
        world.open(Side::Dialer, "chat", &shape);
        for _ in 0..fits + more {
            world.say(Side::Dialer, "chat", size);
        }
        if size > 0 {
            world.say(Side::Dialer, "chat", 1);
        }
        world.run(secs(5));
        assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
        let sent = world.dialer.frames.iter().filter(|frame| **frame == "Data").count();
        assert_eq!(sent, fits, "of {size} bytes each");
        world.open_plainly(Side::Acceptor, "chat");
        world.run(secs(5));
        assert_eq!(world.hear(Side::Acceptor, "chat").len(), fits + more + usize::from(size > 0));
    }
}

#[test]
fn channels_what_was_never_written_survives_a_peer_that_forgot() {
    let mut world = connected(Settings::default(), &[]);
    world.open_plainly(Side::Dialer, "chat");
    // The first fills the first credit; the second has never left.
    let written = world.say(Side::Dialer, "chat", 60_000);
    let unwritten = world.say(Side::Dialer, "chat", 60_000);
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    assert_eq!(world.progress(Side::Dialer, written), Progress::Resolved(Outcome::Unknown));
    world.open_plainly(Side::Acceptor, "chat");
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [1]);
    world.run(secs(1));
    assert_eq!(world.progress(Side::Dialer, unwritten), Progress::Resolved(Outcome::Handled));
}

#[test]
fn channels_take_turns_when_all_have_much_to_write() {
    let labels = ["first", "second", "third"];
    let mut world = connected(Settings::default(), &labels);
    for label in labels {
        (0..200).for_each(|_| {
            world.say(Side::Dialer, label, 1000);
        });
    }
    // A link that takes 64 KiB in 10 ms has taken a third of it.
    world.run(ms(40));
    let there = labels.map(|label| world.stats(Side::Acceptor, label).received);
    let all: u64 = there.iter().sum();
    assert!((50..550).contains(&all), "{there:?}");
    // A turn has 16 KiB.
    let even = there.iter().all(|count| count.abs_diff(all / 3) <= 20);
    assert!(even, "G14: one channel writes while others wait: {there:?}");
}
