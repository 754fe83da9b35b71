//! Stores: nothing leaves too early, and a process that starts again goes on (rules R3, R4, S3).

use bowline::error::Outcome;
use bowline::id::MessageId;
use bowline::protocol::types::{Event, Progress};

use crate::link::Side;
use crate::rng::Rng;
use crate::scene::{BOTH, connected, ms, secs, stored};
use crate::world::{Settings, World};

#[test]
fn journal_a_channel_is_announced_and_ended_only_when_that_is_durable() {
    let mut world = connected(stored(500), &["chat"]);
    world.open_plainly(Side::Dialer, "jobs");
    world.finish(Side::Dialer, "chat");
    world.run(ms(400));
    // The process ends before the store has the record: nobody may have heard of it.
    assert_eq!(world.acceptor().and_then(|peer| peer.machine.next_incoming()), None);
    world.restart_dialer(0, Some(ms(0)));
    world.open_plainly(Side::Dialer, "bulk");
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(5));
    world.open_plainly(Side::Acceptor, "bulk");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
}

#[test]
fn journal_nothing_more_is_awaited_only_when_the_end_is_durable() {
    let mut world = connected(Settings { stores: [true, false], ..stored(500) }, &[]);
    world.open_plainly(Side::Dialer, "chat");
    world.finish(Side::Dialer, "chat");
    world.run(secs(5));
    world.open_plainly(Side::Acceptor, "chat");
    world.finish(Side::Acceptor, "chat");
    world.run(ms(400));
    // The dialer has all there is, which is nothing; but its process ends before the store knows that there was a lane.
    assert!(world.is_channel_there(Side::Acceptor, "chat"));
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(20));
    assert!(BOTH.into_iter().all(|side| !world.is_channel_there(side, "chat")));
    BOTH.into_iter().for_each(|side| world.open_plainly(side, "chat"));
    let id = world.say(Side::Acceptor, "chat", 10);
    world.run(secs(5));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    world.run(secs(5));
    assert_eq!(world.progress(Side::Acceptor, id), Progress::Resolved(Outcome::Handled));
}

#[test]
fn journal_a_lane_that_was_named_outlives_the_word_that_the_one_before_is_forgotten() {
    let mut world = connected(stored(1), &[]);
    world.open_plainly(Side::Dialer, "chat");
    let first = world.say(Side::Dialer, "chat", 10);
    world.finish(Side::Dialer, "chat");
    world.run(secs(1));
    world.open_plainly(Side::Acceptor, "chat");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.outcome(Side::Dialer, first), Some(Outcome::Handled));
    let before = world.dialer.store.as_ref().map_or(0, |store| store.history.len());
    world.finish(Side::Acceptor, "chat");
    world.run(secs(1));
    assert!(BOTH.into_iter().all(|side| !world.is_channel_there(side, "chat")));
    // The dialer's store forgets that the acceptor ever had a lane; the acceptor begins another channel under the label.
    let lost = world.dialer.store.as_ref().map_or(0, |store| store.history.len()) - before;
    world.restart_dialer(lost + 1, Some(ms(0)));
    world.open_plainly(Side::Acceptor, "chat");
    let ids = [(); 3].map(|()| world.say(Side::Acceptor, "chat", 10));
    world.run(secs(5));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0, 1, 2]);
    world.run(secs(1));
    assert!(ids.map(|id| world.outcome(Side::Acceptor, id)).iter().all(|end| *end == Some(Outcome::Handled)));
    // Of the new channel, too, the dialer has finished its side, now and when it begins again.
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(5));
    assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
    world.finish(Side::Acceptor, "chat");
    world.run(secs(5));
    assert!(BOTH.into_iter().all(|side| !world.is_channel_there(side, "chat")));
}

#[test]
fn journal_a_slow_store_makes_no_timer_spin() {
    let mut world = connected(stored(800), &["chat"]);
    world.say(Side::Acceptor, "chat", 10);
    world.cut_now();
    // What is to be acknowledged waits for the records of the attach: a timer in the past would be polled for ever.
    world.run(secs(10));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    assert!(world.steps < 200, "{} steps", world.steps);
}

#[test]
fn journal_a_restarted_receiver_grants_anew() {
    let mut world = connected(stored(1), &["chat"]);
    world.say(Side::Dialer, "chat", 60_000);
    world.run(secs(1));
    world.restart_acceptor_unopened();
    world.say(Side::Dialer, "chat", 60_000);
    world.run(secs(40));
    // The label is not open yet: the second message waits for the first credit beyond what is held.
    world.open_plainly(Side::Acceptor, "chat");
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0, 1], "{:?}", world.dialer.closed());
}

#[test]
fn journal_what_a_sender_gave_up_counts_in_no_window() {
    let settings = Settings { stores: [true, false], ..Settings::default() };
    let mut world = connected(settings, &["chat", "jobs"]);
    // The acceptor's messages fill the dialer's hands.
    for _ in 0..4 {
        world.say(Side::Acceptor, "chat", 45_000);
    }
    world.run(secs(1));
    // The dialer's store loses what it sent: a new epoch, and the acceptor cannot know what became of its messages.
    world.say(Side::Dialer, "jobs", 10);
    world.run(secs(1));
    world.say(Side::Dialer, "jobs", 10);
    world.run(secs(1));
    world.restart_dialer(1, Some(ms(0)));
    world.run(secs(60));
    for _ in 0..4 {
        world.say(Side::Acceptor, "chat", 45_000);
    }
    world.run(secs(5));
    assert!(world.tally.resets > 0);
    assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
    assert_eq!(world.hear(Side::Dialer, "chat"), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn journal_what_a_sender_gave_up_leaves_nothing_when_it_expires() {
    let settings = Settings { stores: [true, false], ..Settings::default() };
    let mut world = connected(settings, &["chat", "jobs"]);
    for _ in 0..4 {
        world.say_for(Side::Acceptor, "chat", 45_000, 100_000);
    }
    world.run(secs(1));
    // As above. The process that begins again has the messages, of which their sender does not know that.
    world.say(Side::Dialer, "jobs", 10);
    world.run(secs(1));
    world.say(Side::Dialer, "jobs", 10);
    world.run(secs(1));
    world.restart_dialer(1, Some(ms(0)));
    world.run(secs(10));
    let stats = world.stats(Side::Dialer, "chat");
    assert_eq!((stats.inbox_messages, stats.inbox_bytes), (4, 180_000));
    world.run(secs(100));
    let stats = world.stats(Side::Dialer, "chat");
    assert_eq!((stats.inbox_messages, stats.inbox_bytes), (0, 0));
}

#[test]
fn journal_refusing_an_old_message_marks_no_new_one() {
    let settings = Settings { stores: [true, false], ..Settings::default() };
    let mut world = connected(settings, &["chat", "jobs"]);
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(1));
    world.open_plainly(Side::Acceptor, "chat");
    world.run(secs(1));
    // The message of the former acceptor is refused; then the dialer starts again, from its store.
    world.refuse(Side::Dialer, "chat");
    world.run(secs(1));
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(1));
    let id = world.say(Side::Acceptor, "chat", 10);
    world.run(secs(5));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.progress(Side::Acceptor, id), Progress::Resolved(Outcome::Handled));
}

#[test]
fn journal_what_was_handled_of_a_former_epoch_is_over_without_being_remembered() {
    let settings = Settings { stores: [true, false], ..Settings::default() };
    let mut world = connected(settings, &["chat"]);
    world.say(Side::Acceptor, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Dialer, "chat"), [0]);
    world.run(secs(1));
    // The acceptor begins a new epoch: the dialer's store forgets all of the old one, as rule S3 has it.
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(1));
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(1));
    world.open_plainly(Side::Acceptor, "chat");
    let id = world.say(Side::Acceptor, "chat", 10);
    world.run(secs(5));
    assert_eq!(
        world.hear(Side::Dialer, "chat"),
        [0],
        "the first of the new epoch, and nothing of the old one"
    );
    world.run(secs(1));
    assert_eq!(world.progress(Side::Acceptor, id), Progress::Resolved(Outcome::Handled));
}

/// The acceptor holds three messages and its store forgets the last one or two; the dialer had freed them.
fn forgetful_store(redeliver: bool) -> (World, [MessageId; 3]) {
    let mut world = connected(stored(1), &[]);
    if redeliver {
        world.open_redelivering(Side::Dialer, "chat");
    } else {
        world.open_plainly(Side::Dialer, "chat");
    }
    let ids = [(); 3].map(|()| {
        let id = world.say(Side::Dialer, "chat", 10);
        world.run(secs(1));
        id
    });
    assert_eq!(world.progress(Side::Dialer, ids[2]), Progress::Received);
    world.restart_acceptor(1, Some(ms(0)));
    world.open_plainly(Side::Acceptor, "chat");
    world.run(secs(5));
    (world, ids)
}

#[test]
fn journal_a_receiver_whose_store_lost_its_tail_leaves_no_message_without_an_end() {
    for redeliver in [false, true] {
        let (mut world, ids) = forgetful_store(redeliver);
        let heard = world.hear(Side::Acceptor, "chat");
        assert_eq!(heard, [0, 1]);
        world.run(secs(1));
        // Its bytes were freed when the store had them.
        assert_eq!(world.progress(Side::Dialer, ids[2]), Progress::Resolved(Outcome::Unknown));
        let id = world.say(Side::Dialer, "chat", 10);
        world.run(secs(1));
        assert_eq!(world.hear(Side::Acceptor, "chat"), [3]);
        world.run(secs(1));
        assert_eq!(world.progress(Side::Dialer, id), Progress::Resolved(Outcome::Handled));
        let reset = Event::Reset { undelivered: 1, redelivered: 0 };
        assert!(world.events(Side::Dialer).contains(&reset), "{:?}", world.events(Side::Dialer));
    }
}

#[test]
fn journal_what_a_receiver_has_handled_and_forgotten_holds_up_nothing() {
    let mut world = connected(stored(1), &["chat"]);
    for _ in 0..2 {
        world.say(Side::Dialer, "chat", 10);
        world.run(secs(1));
    }
    // The second is acknowledged, the first is not; then the store forgets that there was a second.
    assert_eq!(world.take(Side::Acceptor, "chat"), 2);
    world.with(world.on(Side::Acceptor), |peer, model, now| peer.settle("chat", 1, 0, model, now));
    world.run(secs(1));
    world.restart_acceptor(2, Some(ms(0)));
    world.open_plainly(Side::Acceptor, "chat");
    world.run(secs(5));
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [2]);
}

#[test]
fn journal_a_sender_whose_store_lost_its_tail_begins_a_new_epoch() {
    let mut world = connected(stored(1), &["chat"]);
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(secs(1));
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    let epoch = world.dialer.machine.epoch();
    world.restart_dialer(1, Some(ms(0)));
    world.run(secs(5));
    assert_ne!(world.dialer.machine.epoch(), epoch);
    assert!(world.dialer.events.iter().any(|event| matches!(event, Event::Reset { .. })));
    // A receipt of the old epoch keeps its outcome, and new messages get through.
    let key = world.dialer.channels["chat"].key;
    let old = world.dialer.machine.progress(key, epoch, 0);
    assert_eq!(old, Progress::Resolved(Outcome::Handled));
    let id = world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    // The message that the store forgot was received; the next one has the first number of the new epoch.
    assert_eq!(world.hear(Side::Acceptor, "chat"), [1, 0]);
    world.run(secs(1));
    assert_eq!(world.progress(Side::Dialer, id), Progress::Resolved(Outcome::Handled));
}

#[test]
fn journal_a_number_that_the_peer_knew_before_it_was_given_again_begins_a_new_epoch() {
    let mut world = connected(stored(1), &["chat"]);
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    world.restart_dialer(1, Some(ms(0)));
    world.open_plainly(Side::Dialer, "chat");
    // The store has forgotten the first message, which the peer holds: its number is given again. A large one is not written
    // before the peer has spoken.
    let again = world.say(Side::Dialer, "chat", 70_000);
    assert_eq!(again.sequence, 0);
    world.run(secs(5));
    // Its bytes would be freed on the word of a peer that has others.
    assert_eq!(world.progress(Side::Dialer, again), Progress::Resolved(Outcome::Unknown));
    let id = world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    world.hear(Side::Acceptor, "chat");
    world.run(secs(1));
    assert_eq!(world.progress(Side::Dialer, id), Progress::Resolved(Outcome::Handled));
}

#[test]
fn journal_a_forgotten_channel_or_end_begins_a_new_epoch_too() {
    for finishes in [false, true] {
        let mut world = connected(stored(1), &["chat"]);
        world.say(Side::Dialer, "chat", 10);
        world.run(secs(1));
        assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
        world.run(secs(1));
        if finishes {
            world.finish(Side::Dialer, "chat");
        } else {
            world.open_plainly(Side::Dialer, "jobs");
        }
        world.run(secs(1));
        let epoch = world.dialer.machine.epoch();
        world.dialer.channels.remove("jobs");
        world.restart_dialer(1, Some(ms(0)));
        world.run(secs(5));
        assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
        assert_ne!(world.dialer.machine.epoch(), epoch, "finishes: {finishes}");
    }
}

#[test]
fn journal_channels_are_announced_in_the_order_of_their_ids() {
    let mut world = connected(stored(300), &[]);
    world.open_plainly(Side::Dialer, "chat");
    world.open_plainly(Side::Dialer, "jobs");
    world.run(ms(100));
    // The end of the first waits for a later batch than the beginning of the second.
    world.finish(Side::Dialer, "chat");
    world.run(secs(5));
    assert_eq!(world.incoming(), ["chat", "jobs"]);
    world.open_plainly(Side::Acceptor, "chat");
    world.run(secs(5));
    assert!(world.is_channel_there(Side::Dialer, "chat"), "the acceptor's side of it is open");
}

#[test]
fn journal_what_ended_out_of_order_and_what_is_redelivered_outlive_a_restart() {
    let settings = Settings { stores: [true, false], ..Settings::default() };
    let mut world = connected(settings, &[]);
    for side in [Side::Dialer, Side::Acceptor] {
        world.open_redelivering(side, "chat");
    }
    for _ in 0..3 {
        world.say(Side::Dialer, "chat", 10);
    }
    world.run(secs(1));
    world.with(world.on(Side::Acceptor), |peer, model, now| peer.take("chat", 1, model, now));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [1, 2]);
    world.run(secs(1));
    // The acceptor forgets, and before the dialer has sent anything again its process ends.
    world.cut_now();
    world.restart_acceptor(0, None);
    world.run(ms(500));
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(20));
    world.open_redelivering(Side::Acceptor, "chat");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    assert_eq!(world.model.counts.redelivered, 1);
}

#[test]
fn journal_data_does_not_overtake_the_word_of_what_was_given_up() {
    for seed in 0..20 {
        let settings = Settings { stores: [false, true], ..Settings::default() };
        let mut world = connected(settings, &["chat", "jobs"]);
        for _ in 0..4 {
            world.say(Side::Dialer, "chat", 45_000);
        }
        world.run(secs(1));
        world.say(Side::Acceptor, "jobs", 10);
        world.run(secs(1));
        // The acceptor begins a new epoch and still holds the messages; the dialer gives them up and has more to say.
        world.restart_acceptor(1, Some(ms(0)));
        world.run(ms(1));
        for _ in 0..4 {
            world.say(Side::Dialer, "chat", 45_000);
        }
        world.rng = Rng::new(seed);
        world.settings.weather.delay_ms = (1, 300);
        world.run(secs(60));
        assert!(world.tally.resets > 0);
        assert!(world.dialer.closed().is_none(), "seed {seed}: {:?}", world.dialer.closed());
        assert_eq!(world.hear(Side::Acceptor, "chat"), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
