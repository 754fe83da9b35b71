//! What a process says of its messages is in its store: wherever it crashes, its successor does not say otherwise.

use bowline::{ChannelConfig, Config, Delivery, Endpoint, Outcome, Session, Trust};
use bowline_netsim::{Conditions, Scenario};

use crate::plan::{ms, secs};
use crate::process::{Disk, Process};
use crate::world::{Ends, Who, over};

fn line() -> Scenario {
    Scenario::new("line", secs(60)).both(Conditions::new().delay(ms(10)))
}

/// A client with a slow disk, its session, and the other side of that.
async fn begin(ends: &Ends) -> (Disk, Process, Process, Session, Session) {
    let disk = Disk::new(ms(40), false);
    let server = ends.start(Who::Server, Config::default(), None);
    let client = ends.start(Who::Client, Config::default(), Some(&disk));
    let (dialed, accepted) = ends.meet(&client, &server).await;
    (disk, server, client, dialed, accepted)
}

/// The client's next process, and its session.
async fn again(ends: &Ends, disk: &Disk) -> (Endpoint, Session) {
    let client = ends.start(Who::Client, Config::default(), Some(disk)).endpoint;
    let mut restored = client.restore().await.expect("the disk can be read");
    let trust: Trust = ends.trust();
    let session = restored.dialed.remove(0).connect(ends.server_address(), trust).await;
    (client, session.expect("it is remembered"))
}

/// A message is withdrawn while the store is busy with it, and the process dies some time after.
#[test]
fn what_was_told_to_be_withdrawn_does_not_come_after_a_crash() {
    let (mut told_in, mut came_in) = (0, 0);
    for after in (0..160).step_by(5) {
        let finished = over(&line(), 1, async |ends| {
            let (disk, _server, client, dialed, accepted) = begin(&ends).await;
            let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
            let (chat, _) = dialed.open("chat", ordered.clone()).await.unwrap();
            let (_keep, mut inbox) = accepted.open("chat", ordered.clone()).await.unwrap();
            drop(chat.send("before").await.unwrap());
            assert_eq!(inbox.recv().await.unwrap().payload(), "before");
            tokio::time::sleep(secs(1)).await;
            let receipt = chat.try_send("withdrawn").unwrap();
            tokio::time::sleep(ms(20)).await;
            receipt.cancel();
            let told = tokio::time::timeout(ms(after), receipt.outcome()).await.ok();
            client.crash().await;
            drop((chat, dialed, receipt));
            let (_client, dialed) = again(&ends, &disk).await;
            let (chat, _) = dialed.open("chat", ordered).await.unwrap();
            drop(chat.send("after").await.unwrap());
            let next = inbox.recv().await.unwrap();
            (told, next.payload().clone())
        });
        let (told, next) = finished.output.expect("in time");
        told_in += usize::from(told.is_some());
        came_in += usize::from(next == "withdrawn");
        assert!(told.is_none() || next == "after", "after {after} ms: told {told:?}, and then {next:?} came");
        assert!(told.is_none_or(|outcome| outcome == Outcome::Cancelled));
    }
    assert!(told_in > 0 && came_in > 0, "{told_in} were told, and {came_in} came");
}

/// Nobody remembers an unreliable message, but its number.
#[test]
fn a_number_that_was_given_to_an_unreliable_message_is_not_given_again() {
    for after in (0..160).step_by(10) {
        let finished = over(&line(), 1, async |ends| {
            let (disk, _server, client, dialed, _accepted) = begin(&ends).await;
            let config = ChannelConfig::new(Delivery::Unreliable);
            let (voice, _) = dialed.open("voice", config.clone()).await.unwrap();
            let given = std::sync::Mutex::new(Vec::new());
            let talk = async {
                loop {
                    let receipt = voice.send("hm").await.unwrap();
                    given.lock().unwrap().push(receipt.id());
                    tokio::time::sleep(ms(10)).await;
                }
            };
            let _ = tokio::time::timeout(ms(after), talk).await;
            client.crash().await;
            drop((voice, dialed));
            let (_client, dialed) = again(&ends, &disk).await;
            let (voice, _) = dialed.open("voice", config).await.unwrap();
            let next = voice.send("hm").await.unwrap().id();
            (given.into_inner().unwrap(), next)
        });
        let (given, next) = finished.output.expect("in time");
        assert!(!given.contains(&next), "after {after} ms: {next} was given already, of {given:?}");
    }
}
