//! What becomes of messages whose sender has lost its memory.

use std::time::Duration;

use bowline::{ChannelConfig, Config, Delivery, ReconnectPolicy, SendOptions};
use bowline_netsim::{Conditions, Scenario};

use crate::plan::{ms, secs};
use crate::world::{Who, over};

/// A large message holds up those behind it in an ordered channel, of which one may expire meanwhile. When its sender has
/// forgotten it, they come, and say what is missing.
#[test]
fn what_waited_behind_a_message_that_its_sender_forgot_tells_of_the_gap() {
    assert_eq!(came(secs(30)), [(1, 0), (2, 1), (3, 0)]);
    assert_eq!(came(secs(5)), [(1, 0), (3, 2)]);
}

/// Sizes of the messages that came, and how many each told to be missing. The third one of four has this long.
fn came(lifetime: Duration) -> Vec<(usize, u64)> {
    let line = Conditions::new().delay(ms(10)).rate(1_000_000);
    let scenario = Scenario::new("slow", secs(60)).both(line);
    let finished = over(&scenario, 1, async |ends| {
        let config = Config::default().heartbeat(secs(2)).reconnect(ReconnectPolicy::Responsive);
        let server = ends.start(Who::Server, config.clone(), None);
        let client = ends.start(Who::Client, config.clone(), None);
        let (dialed, accepted) = ends.meet(&client, &server).await;
        let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
        let (_keep, mut inbox) = dialed.open("line", ordered.clone()).await.unwrap();
        let (out, _refused) = accepted.open("line", ordered).await.unwrap();
        for size in [1, 1_000_000, 2, 3] {
            let options = if size == 2 { SendOptions::new().deadline(lifetime) } else { SendOptions::new() };
            drop(out.send_with(vec![7; size], options).await.unwrap());
        }
        let mut came = Vec::new();
        let first = inbox.recv().await.unwrap();
        came.push((first.payload().len(), first.skipped()));
        tokio::time::sleep(secs(2)).await;
        assert!(inbox.try_recv().is_none(), "the large one is not complete");
        server.crash().await;
        drop((out, accepted));
        let server = ends.start(Who::Server, config, None);
        let accepting = tokio::spawn(async move { server.endpoint.accept().await.unwrap().accept().await });
        // Nobody takes anything for a while.
        tokio::time::sleep(secs(10)).await;
        while came.last().is_none_or(|(size, _)| *size != 3) {
            let message = inbox.recv().await.unwrap();
            came.push((message.payload().len(), message.skipped()));
        }
        drop(accepting);
        came
    });
    finished.output.expect("in time")
}
