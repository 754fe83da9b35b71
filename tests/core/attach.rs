//! How links are attached, lost, replaced and refused (rules S1 to S5, G9, G11).

use bowline::protocol::types::Event;

use crate::link::Side;
use crate::scene::{secs, stored};
use crate::settings::Settings;
use crate::world::World;

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
