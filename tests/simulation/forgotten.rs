//! What becomes of messages whose sender has lost its memory.

use bowline::{ChannelConfig, Config, Delivery, ReconnectPolicy};
use bowline_netsim::{Conditions, Scenario};

use crate::plan::{ms, secs};
use crate::world::{Who, over};

/// A large message holds up those behind it in an ordered channel. When its sender has forgotten it, they come, and say
/// that it is missing.
#[test]
fn what_waited_behind_a_message_that_its_sender_forgot_tells_of_the_gap() {
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
            drop(out.send(vec![7; size]).await.unwrap());
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
        for _ in 0..2 {
            let message = inbox.recv().await.unwrap();
            came.push((message.payload().len(), message.skipped()));
        }
        drop(accepting);
        came
    });
    assert_eq!(finished.output, Some(vec![(1, 0), (2, 1), (3, 0)]));
}
