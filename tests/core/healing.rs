//! The end of a run: the network heals, everybody takes what there is, and what is left is compared with what must be.

use std::time::Duration;

use bowline::error::CloseCode;
use bowline::protocol::types::{Event, SessionState};

use crate::link::{Side, Weather};
use crate::plan::{LABELS, open};
use crate::world::{Who, World};

/// The network heals, the applications take everything: G13, and G1 to its end.
pub(crate) fn heal(world: &mut World) {
    world.net_up = true;
    world.settings.weather = Weather::CALM;
    world.settings.store_ms = (1, 1);
    for link in world.links.values_mut() {
        link.silent_until = None;
    }
    for who in world.everyone() {
        if let Some(peer) = world.peer(who) {
            peer.stopped_until = None;
        }
    }
    world.with(Who::Dialer, |peer, _, now| peer.machine.resumed(Duration::from_secs(1), now));
    let heals = world.now;
    let mut calm = 0;
    let mut connected_after = None;
    for _ in 0..240 {
        for side in [Side::Dialer, Side::Acceptor] {
            for (label, name) in LABELS.into_iter().enumerate() {
                open(world, side, label);
                while world.with(world.on(side), |peer, model, now| peer.settle(name, 0, 0, model, now))
                    == Some(true)
                {}
                world.with(world.on(side), |peer, model, now| peer.recv(name, 10_000, model, now));
            }
        }
        world.run(Duration::from_secs(1));
        if world.dialer.is_closed() {
            break;
        }
        // What it finds of its own application is no news of the connection.
        let mut news = world.dialer.events.iter().rev();
        if news.find(|event| !matches!(event, Event::OwnService(_))) == Some(&Event::GaveUp) {
            world.with(Who::Dialer, |peer, _, now| peer.machine.reconnect(now));
        }
        let attached = world.dialer.machine.attached();
        let joined =
            attached.is_some() && world.acceptor().is_some_and(|peer| peer.machine.attached() == attached);
        connected_after = connected_after.filter(|_| joined).or_else(|| joined.then(|| world.now - heals));
        let drained = world.dialer.machine.unresolved() == 0
            && world.acceptor().is_some_and(|peer| peer.machine.unresolved() == 0);
        calm = if joined && drained { calm + 1 } else { 0 };
        if calm >= 3 {
            break;
        }
    }
    world.check();
    check_end(world, calm, connected_after);
    if calm >= 3 && !world.model.lied {
        check_empty(world);
    }
    let now = world.now;
    for who in world.everyone() {
        let stats = world.with(who, |peer, model, _| {
            let stats = peer.channels.values().filter_map(|open| peer.machine.channel_stats(open.key, now));
            stats
                .map(|stats| {
                    model.counts.count_stats(&stats);
                    stats.duplicates
                })
                .sum::<u64>()
        });
        world.tally.duplicates += stats.unwrap_or_default();
    }
    let connected = |world: &mut World, side| {
        world.with(world.on(side), |peer, _, _| peer.machine.state()) == Some(SessionState::Connected)
    };
    if connected(world, Side::Dialer) && connected(world, Side::Acceptor) && !world.model.lied {
        leave(world);
    }
}

/// Both sides finish every channel, and nothing is left of them; then the dialer closes, in an orderly way.
fn leave(world: &mut World) {
    let sides = [Side::Dialer, Side::Acceptor];
    // One that the peer has opened anew is opened here as well.
    sides.into_iter().for_each(|side| (0..LABELS.len()).for_each(|label| open(world, side, label)));
    for side in sides {
        for label in LABELS {
            world.with(world.on(side), |peer, _, _| {
                if let Some(open) = peer.channels.get(label) {
                    peer.machine.finish(open.key);
                }
            });
        }
    }
    if world.rng.percent(50) {
        // The last words are lost with their link.
        let moment = Duration::from_millis(world.rng.range(0, 60));
        world.run(moment);
        let soon = Some(Duration::from_millis(5));
        world.cut_all([soon, soon]);
    }
    // The link may be dead, and nobody knows yet.
    world.run_until(Duration::from_secs(150), |world| {
        LABELS.iter().all(|label| sides.iter().all(|&side| !world.is_channel_there(side, label)))
    });
    for side in sides {
        for label in LABELS {
            let there = world.is_channel_there(side, label);
            assert!(!there, "G13: {label} is not forgotten by the {side:?} (rule C1) {}", figures(world));
            world.tally.forgotten_channels += 1;
        }
    }
    world.with(Who::Dialer, |peer, _, now| {
        peer.machine.close(CloseCode::Normal, "bye", Duration::from_secs(30), now)
    });
    world.run(Duration::from_secs(10));
    for side in sides {
        let reason = world.with(world.on(side), |peer, _, _| peer.closed()).flatten();
        assert!(reason.as_ref().is_some_and(|reason| reason.clean), "T4: {side:?} ended as {reason:?}");
        let finished = world.with(world.on(side), |peer, _, _| peer.machine.is_finished());
        assert_eq!(finished, Some(true), "T4: something is left to do");
    }
}

/// Everything was taken: nothing is left on the way, whole or in part (G7, G10).
fn check_empty(world: &mut World) {
    let now = world.now;
    for side in [Side::Dialer, Side::Acceptor] {
        let other = usize::from(side == Side::Dialer);
        for (label, name) in LABELS.into_iter().enumerate() {
            let reliable = world.settings.modes[label][other].is_reliable();
            let stats = world.with(world.on(side), |peer, _, _| {
                peer.channels.get(name).and_then(|open| peer.machine.channel_stats(open.key, now))
            });
            let Some(stats) = stats.flatten() else { continue };
            assert_eq!((stats.inbox_messages, stats.inbox_bytes), (0, 0), "G10: {name} has {stats:?}");
            // Of unreliable ones the rest may never come.
            assert!(!reliable || stats.partial_bytes == 0, "G10: {name} has {stats:?}");
            assert_eq!((stats.outbox_messages, stats.outbox_bytes), (0, 0), "G10: {name} has {stats:?}");
        }
    }
}

/// How all channels are, for a failure.
fn figures(world: &mut World) -> String {
    let (mut text, now) = (String::new(), world.now);
    for side in [Side::Dialer, Side::Acceptor] {
        let state = world.with(world.on(side), |peer, _, _| (peer.machine.attached(), peer.machine.state()));
        text += &format!("\n{side:?}: {state:?}");
        for (label, name) in LABELS.into_iter().enumerate() {
            let stats = world.with(world.on(side), |peer, _, _| {
                peer.channels.get(name).and_then(|open| peer.machine.channel_stats(open.key, now))
            });
            let mode = world.settings.modes[label][usize::from(side == Side::Acceptor)];
            text += &format!("\n  {name}, sends {mode}: {:?}", stats.flatten());
        }
    }
    text
}

fn check_end(world: &mut World, calm: u32, connected_after: Option<Duration>) {
    let session = world.dialer.machine.session();
    if let Some(reason) = world.dialer.closed() {
        let allowed = [CloseCode::Normal, CloseCode::Expired, CloseCode::Unreachable];
        // A store that calls something durable and forgets it may give one number to two things: to messages of other sizes,
        // to lanes of other modes. Where the peer can see that, it ends the session: loudly, with every receipt unknown.
        let seen = [
            "a channel changed its label or its end",
            "a channel's floor is beyond its end",
            "a message beyond the end",
            "a label that is announced",
            "more is skipped than",
            "more than the window allows",
            "an unreliable message on a stream",
            "a fragment of a reliable message",
            "fragments that overlap",
        ];
        // And a counter that was forgotten looks like another copy's.
        let contradiction = world.model.lied
            && (reason.code == CloseCode::Superseded
                || seen.iter().any(|what| reason.reason.starts_with(what)));
        world.tally.contradictions += u64::from(contradiction);
        let broken = rule_of(&reason.reason).unwrap_or("G13");
        assert!(contradiction || allowed.contains(&reason.code), "{broken}: the session ended: {reason:?}");
    } else {
        assert!(calm >= 3, "G13: not drained {}", figures(world));
        // Detection: an interval, six answers; then the longest wait and attempt.
        let bound = world.settings.heartbeat * 3 / 2 + Duration::from_secs(20 + 64 + 20);
        assert!(connected_after.is_some_and(|after| after < bound), "G13: {connected_after:?}");
    }
    let others: Vec<Who> = world.everyone();
    for who in others {
        let Some((peer_closed, open)) =
            world.with(who, |peer, model, now| (peer.is_closed(), peer.check_receipts(model, now)))
        else {
            continue;
        };
        let current = who == Who::Dialer || who == Who::Acceptor(session);
        assert!(!(peer_closed || current && calm >= 3) || open == 0, "G8: {open} receipts have no outcome");
    }
}

/// The rule that a session ended for, by the reason of its end.
fn rule_of(reason: &str) -> Option<&str> {
    let (_, rule) = reason.rsplit_once("(rule ")?;
    rule.strip_suffix(')')
}
