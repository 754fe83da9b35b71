//! A server's process that is killed and started again: how long until its client knows, and talks to the new one (rule S3).

use std::time::Duration;

use bowline::{ChannelConfig, Config, Delivery, Event, Outcome};
use bowline_netsim::{Conditions, Scenario};
use tokio::time::{Instant, sleep};

use crate::world::{Ends, Who, over};

const ROUND_TRIP: Duration = Duration::from_millis(40);
/// Time is told in whole milliseconds, in several places on the way.
const SLACK: Duration = Duration::from_millis(5);

#[test]
fn a_restarted_server_is_noticed_in_a_round_trip_and_has_a_message_before_the_sixth() {
    for seed in 0..10 {
        let line = Conditions::new().delay(ROUND_TRIP / 2);
        let scenario = Scenario::new("restart", Duration::from_secs(60)).both(line);
        let run = over(&scenario, seed, async |ends: Ends| {
            let config = Config::default().heartbeat(Duration::from_secs(30));
            let server = ends.start(Who::Server, config.clone(), None);
            let client = ends.start(Who::Client, config.clone(), None);
            let (dialed, accepted) = ends.meet(&client, &server).await;
            let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
            let (out, _back) = dialed.open("up", ordered.clone()).await.unwrap();
            let (_keep, inbox) = accepted.open("up", ordered.clone()).await.unwrap();
            let untaken = out.send("untaken").await.unwrap();
            untaken.received().await.unwrap();
            sleep(Duration::from_secs(1)).await;
            server.crash().await;
            drop((accepted, inbox));
            sleep(Duration::from_secs(1)).await;
            let server = ends.start(Who::Server, config, None);
            let mut events = dialed.events();
            let begun = Instant::now();
            let lost = out.send("to whoever is there").await.unwrap();
            let next = events.next().await;
            assert_eq!(next, Some(Event::Reconnecting { attempt: 1, after: Duration::ZERO }));
            let noticed = begun.elapsed();
            let after = out.send("to the new one").await.unwrap();
            let accepted = server.endpoint.accept().await.unwrap().accept().await.unwrap();
            let (_keep, mut inbox) = accepted.open("up", ordered).await.unwrap();
            assert_eq!(inbox.recv().await.unwrap().payload(), &"to the new one");
            let talked = begun.elapsed();
            assert_eq!(untaken.outcome().await, Outcome::Unknown);
            assert_eq!(lost.outcome().await, Outcome::Unknown);
            assert_eq!(after.outcome().await, Outcome::Handled);
            (noticed, talked)
        });
        let (noticed, talked) = run.output.expect("in time");
        assert!(noticed <= ROUND_TRIP + SLACK, "seed {seed}: noticed after {noticed:?}");
        // A handshake, a Hello that the new one does not know, another, and what it has to say of the channel.
        assert!(talked < 6 * ROUND_TRIP, "seed {seed}: talked after {talked:?}");
    }
}
