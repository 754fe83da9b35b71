//! How sessions end, where only virtual time shows it: nobody is there to wake anybody.

use std::future::IntoFuture;
use std::time::Duration;

use bowline::error::{AcceptError, CloseCode, Side};
use bowline::{ChannelConfig, Config, Delivery, Outcome, Session};
use bowline_netsim::{Conditions, Scenario};

use crate::gate::{Act, At, Trap};
use crate::plan::{ms, secs};
use crate::process::Disk;
use crate::world::{Who, over};

fn line() -> Scenario {
    Scenario::new("line", secs(60)).both(Conditions::new().delay(ms(10)))
}

/// Closes, and says how long that took and how it ended.
async fn close(session: &Session, drain: Duration) -> (Duration, CloseCode, Side, bool) {
    let began = tokio::time::Instant::now();
    let reason = session.close_with("enough", drain).await;
    (began.elapsed(), reason.code, reason.side, reason.clean)
}

#[test]
fn a_restored_session_whose_dialer_does_not_come_can_be_closed() {
    for drain in [Duration::ZERO, secs(2)] {
        let finished = over(&line(), 1, async |ends| {
            let disk = Disk::new(ms(1), true);
            let server = ends.start(Who::Server, Config::default(), Some(&disk));
            let client = ends.start(Who::Client, Config::default(), None);
            let sessions = ends.meet(&client, &server).await;
            client.crash().await;
            server.crash().await;
            drop(sessions);
            let server = ends.start(Who::Server, Config::default(), Some(&disk));
            let restored = server.endpoint.restore().await.expect("the disk can be read");
            let ended = close(&restored.accepted[0], drain).await;
            let left = server.endpoint.restore().await.expect("the disk can be read");
            (ended, left.accepted.len())
        });
        let ((took, code, side, clean), left) = finished.output.expect("the close resolves");
        assert!(took <= drain + ms(50), "{took:?} with a drain of {drain:?}");
        assert_eq!((code, side, clean), (CloseCode::Normal, Side::Local, false));
        assert_eq!(left, 0, "the disk has forgotten it");
    }
}

/// The connection breaks when the dialer has said Hello, and it waits for longer than the acceptor waits for it.
#[test]
fn a_session_that_was_not_confirmed_in_time_is_made_when_its_dialer_comes_again() {
    let finished = over(&line(), 1, async |ends| {
        ends.gate.set(vec![Trap { who: Who::Server, at: At::Packet(3), act: Act::Cut }]);
        let server = ends.start(Who::Server, Config::default(), None);
        let client = ends.start(Who::Client, Config::default(), None);
        let dial = client.endpoint.connect(ends.server_address(), ends.trust()).into_future();
        let accept = async {
            let first = server.endpoint.accept().await.expect("a dialer comes");
            let (first, error) = (first.session(), first.accept().await.expect_err("it does not confirm"));
            let second = server.endpoint.accept().await.expect("it comes again");
            assert_eq!((first, second.session()), (second.session(), first));
            (error, second.accept().await.expect("and stays"))
        };
        let (dialed, (error, accepted)) = tokio::join!(biased; dial, accept);
        assert!(matches!(error, AcceptError::Abandoned(_)), "{error}");
        let dialed = dialed.expect("the server answers");
        let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
        let (chat, _) = dialed.open("chat", ordered.clone()).await.expect("it lives");
        let (_keep, mut inbox) = accepted.open("chat", ordered).await.expect("it lives here, too");
        let receipt = chat.send("hello").await.expect("there is room");
        let message = inbox.recv().await.expect("it arrives");
        (message.payload().clone(), receipt.outcome().await)
    });
    assert_eq!(finished.output, Some(("hello".into(), Outcome::Handled)));
}

#[test]
fn a_session_whose_first_dial_was_cut_short_is_not_restored() {
    let deaf = Scenario::new("deaf", secs(60)).both(Conditions::new().block(true));
    let finished = over(&deaf, 1, async |ends| {
        let disk = Disk::new(ms(0), true);
        let client = ends.start(Who::Client, Config::default(), Some(&disk));
        let connect = client.endpoint.connect(ends.server_address(), ends.trust()).into_future();
        tokio::time::timeout(secs(2), connect).await.expect_err("nobody answers so soon");
        client.crash().await;
        let client = ends.start(Who::Client, Config::default(), Some(&disk));
        client.endpoint.restore().await.expect("the disk can be read").dialed.len()
    });
    assert_eq!(finished.output, Some(0));
}

/// Two dialers of one identity, of which it may have one session, one after the other; the first dies, and then the server. How the first
/// one's session ends that the next server has from its disk, when the second one's is connected again.
fn of_two_dialers(first_dies: Duration, server_dies: Duration) -> CloseCode {
    let line = Scenario::new("line", secs(60)).both(Conditions::new().delay(ms(300)));
    let finished = over(&line, 1, async |ends| {
        let config = Config::default().one_session_per_identity(true);
        let disk = Disk::new(ms(1), true);
        let server = ends.start(Who::Server, config.clone(), Some(&disk));
        let (accepting, life) = (server.endpoint.clone(), server.life.clone());
        server.spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                life.start(Box::pin(async move {
                    let _session = incoming.accept().await;
                    std::future::pending().await
                }));
            }
        });
        let start = tokio::time::Instant::now();
        let first = ends.start(Who::Client, config.clone(), None);
        let dial = first.endpoint.connect(ends.server_address(), ends.trust()).into_future();
        first.spawn(async move {
            let _session = dial.await;
            std::future::pending().await
        });
        tokio::time::sleep_until(start + first_dies).await;
        first.crash().await;
        let second = ends.start(Who::Client, config.clone(), None);
        let dialing =
            tokio::spawn(second.endpoint.connect(ends.server_address(), ends.trust()).into_future());
        tokio::time::sleep_until(start + server_dies).await;
        server.crash().await;
        let server = ends.start(Who::Server, config, Some(&disk));
        let restored = server.endpoint.restore().await.expect("the disk can be read").accepted;
        assert_eq!(restored.len(), 2);
        let session = dialing.await.expect("it does not panic").expect("it is welcomed");
        let (same, other): (Vec<_>, Vec<_>) = restored.iter().partition(|it| it.id() == session.id());
        let reason = other[0].closed().await;
        let chat = ChannelConfig::new(Delivery::ReliableOrdered);
        let (out, _) = session.open("chat", chat.clone()).await.expect("it lives");
        let (_keep, mut inbox) = same[0].open("chat", chat).await.expect("it lives");
        let receipt = out.send("hello").await.expect("there is room");
        inbox.recv().await.expect("it comes");
        receipt.await.expect("it is handled");
        reason.code
    });
    finished.output.expect("it comes to an end")
}

/// Hello leaves after 600 ms, is there after 900, and is confirmed after 1,500.
#[test]
fn of_two_sessions_that_nobody_had_confirmed_when_the_server_died_the_one_that_is_confirmed_stays() {
    assert_eq!(of_two_dialers(ms(700), ms(1700)), CloseCode::Superseded);
}

#[test]
fn of_two_sessions_the_one_that_was_confirmed_last_stays_when_the_server_died_while_it_ended_the_other() {
    assert_eq!(of_two_dialers(ms(1600), ms(1600 + 1550)), CloseCode::Superseded);
}
