//! How sessions end, where only virtual time shows it: nobody is there to wake anybody.

use std::future::IntoFuture;
use std::time::Duration;

use bowline::error::{CloseCode, Side};
use bowline::{Config, Session};
use bowline_netsim::{Conditions, Scenario};

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
