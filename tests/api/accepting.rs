//! Who comes in, and who does not.

use std::time::Duration;

use bowline::config::Config;
use bowline::error::{AcceptError, CloseCode, ConnectError, Side};
use bowline::protocol::types::{Event, SessionState};
use bowline::tls::ClientAuth;
use bowline::{Credentials, Endpoint};

use crate::support::{
    accept, dialer, event, identity, line, listen, localhost, meet, nimble, text, trust, until, within,
};

/// Dials without waiting for it.
fn dial(
    client: &Endpoint,
    server: &Endpoint,
) -> tokio::task::JoinHandle<Result<bowline::Session, ConnectError>> {
    let connect = client.connect(server.local_addr().unwrap(), trust(server));
    tokio::spawn(async move { connect.await })
}

fn refusal(result: Result<bowline::Session, ConnectError>) -> bowline::error::CloseReason {
    match result {
        Err(ConnectError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dialer_that_is_refused_is_told_why() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let dialing = dial(&client, &server);
    let incoming = within("a dialer", server.accept()).await.unwrap();
    assert_eq!(incoming.peer().map(bowline::tls::PeerIdentity::fingerprint), Some(client.fingerprint()));
    assert!(incoming.remote().ip().is_loopback());
    incoming.refuse("members only");
    let reason = refusal(within("the refusal", dialing).await.unwrap());
    assert_eq!((reason.code, reason.side, reason.retry), (CloseCode::Unauthorized, Side::Remote, false));
    assert_eq!(reason.reason, "members only");
    assert_eq!(server.stats().refused, 1);
}

#[tokio::test]
async fn a_dialer_that_nobody_decided_about_may_come_again() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let dialing = dial(&client, &server);
    drop(within("a dialer", server.accept()).await.unwrap());
    let reason = refusal(within("the refusal", dialing).await.unwrap());
    assert_eq!((reason.code, reason.retry), (CloseCode::Busy, true));
    let (session, _accepted) = meet(&client, &server).await;
    assert_eq!(session.state(), SessionState::Connected);
}

#[tokio::test]
async fn a_dialer_waits_no_longer_for_a_decision_than_it_may() {
    let server = listen(nimble().handshake_timeout(Duration::from_millis(300)));
    let client = dialer(nimble());
    let dialing = dial(&client, &server);
    let incoming = within("a dialer", server.accept()).await.unwrap();
    let reason = refusal(within("the refusal", dialing).await.unwrap());
    assert_eq!((reason.code, reason.retry), (CloseCode::Busy, true));
    assert!(matches!(incoming.accept().await, Err(AcceptError::Abandoned(_))));
}

#[tokio::test]
async fn a_dialer_that_went_away_cannot_be_accepted() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let dialing = dial(&client, &server);
    let incoming = within("a dialer", server.accept()).await.unwrap();
    dialing.abort();
    let _ = dialing.await;
    let error = within("the dialer's end", incoming.accept()).await.unwrap_err();
    assert!(matches!(error, AcceptError::Abandoned(_)), "{error}");
    let (session, _accepted) = meet(&client, &server).await;
    assert_eq!(session.state(), SessionState::Connected);
    assert_eq!(server.stats().sessions, 1);
}

#[tokio::test]
async fn an_accept_that_is_cancelled_leaves_no_session_behind() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let dialing = dial(&client, &server);
    let incoming = within("a dialer", server.accept()).await.unwrap();
    // Polled once, it has made the session, and waits for the dialer.
    tokio::select! {
        biased;
        _ = incoming.accept() => panic!("the dialer cannot know yet"),
        () = std::future::ready(()) => {}
    }
    match within("the dial", dialing).await.unwrap() {
        Ok(session) => assert_eq!(within("its end", session.closed()).await.code, CloseCode::Dropped),
        Err(ConnectError::Refused(reason)) => assert_eq!(reason.code, CloseCode::Dropped),
        Err(other) => panic!("{other}"),
    }
    until("no session", || server.stats().sessions + client.stats().sessions == 0).await;
}

#[tokio::test]
async fn waiting_for_dialers_can_be_cancelled_without_missing_one() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let dialing = dial(&client, &server);
    let incoming = within("a dialer", async {
        loop {
            tokio::select! {
                biased;
                incoming = server.accept() => return incoming.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
    let accepted = within("a session", incoming.accept()).await.unwrap();
    assert_eq!(within("a session", dialing).await.unwrap().unwrap().id(), accepted.id());
}

#[tokio::test]
async fn dialers_are_shown_one_at_a_time_to_whoever_accepts() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let dials: Vec<_> = (0..8).map(|_| dial(&client, &server)).collect();
    let accepting: Vec<_> = (0..8)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { accept(&server).await })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    let mut kept = Vec::new();
    for accepted in accepting {
        let session = within("a session", accepted).await.unwrap();
        assert!(ids.insert(session.id()), "a dialer was shown twice");
        kept.push(session);
    }
    for dialed in dials {
        let session = within("a session", dialed).await.unwrap().unwrap();
        assert!(ids.remove(&session.id()));
        kept.push(session);
    }
}

#[tokio::test]
async fn fifty_sessions_live_on_one_endpoint() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let accepting = tokio::spawn({
        let server = server.clone();
        async move {
            let mut sessions = Vec::new();
            for _ in 0..50 {
                sessions.push(accept(&server).await);
            }
            sessions
        }
    });
    let dials: Vec<_> = (0..50).map(|_| dial(&client, &server)).collect();
    let mut dialed = Vec::new();
    for dial in dials {
        dialed.push(within("a session", dial).await.unwrap().unwrap());
    }
    let accepted = within("all sessions", accepting).await.unwrap();
    assert_eq!((client.stats().attached, server.stats().attached), (50, 50));
    for session in &dialed {
        let peer = accepted.iter().find(|peer| peer.id() == session.id()).unwrap();
        let mut line = line(session, peer, "roll call").await;
        let receipt = line.out.send(session.id().to_string()).await.unwrap();
        assert_eq!(text(&mut line.peer).await, session.id().to_string());
        within("handled", receipt).await.unwrap();
    }
    within("the client's close", client.close("", Duration::from_secs(5))).await;
    for session in accepted {
        assert!(within("the end", session.closed()).await.clean);
    }
}

#[tokio::test]
async fn single_login_ends_the_older_session_for_good() {
    let server = listen(nimble().one_session_per_identity(true));
    let (ada, bob) = (dialer(nimble()), dialer(nimble()));
    let (first, _first_peer) = meet(&ada, &server).await;
    let (other, _other_peer) = meet(&bob, &server).await;
    let mut events = first.events();
    let (second, _second_peer) = meet(&ada, &server).await;
    let reason = within("the older one's end", first.closed()).await;
    assert_eq!((reason.code, reason.side), (CloseCode::Superseded, Side::Remote));
    while let Some(event) = within("the end of the events", events.next()).await {
        assert!(!matches!(event, Event::Reconnecting { .. }), "a session that was superseded dials again");
    }
    assert_eq!(second.state(), SessionState::Connected);
    assert_eq!(other.state(), SessionState::Connected, "another identity is not affected");
    assert_eq!(server.stats().sessions, 2);
}

#[tokio::test]
async fn an_endpoint_with_all_its_sessions_is_busy() {
    let server = listen(nimble().max_sessions(2));
    let client = dialer(nimble());
    let kept = [meet(&client, &server).await, meet(&client, &server).await];
    let reason = refusal(within("the refusal", dial(&client, &server)).await.unwrap());
    assert_eq!((reason.code, reason.retry), (CloseCode::Busy, true));
    assert!(reason.reason.contains("2 sessions"), "{reason}");
    within("a close", kept[0].0.close()).await;
    within("the peer's end", kept[0].1.closed()).await;
    let (session, _accepted) = meet(&client, &server).await;
    assert_eq!(session.state(), SessionState::Connected);
}

#[tokio::test]
async fn an_identity_with_all_its_sessions_is_busy_and_others_are_not() {
    let server = listen(nimble().max_sessions_per_identity(1));
    let (ada, bob) = (dialer(nimble()), dialer(nimble()));
    let _kept = meet(&ada, &server).await;
    let reason = refusal(within("the refusal", dial(&ada, &server)).await.unwrap());
    assert_eq!((reason.code, reason.retry), (CloseCode::Busy, true));
    let (session, _accepted) = meet(&bob, &server).await;
    assert_eq!(session.state(), SessionState::Connected);
}

#[tokio::test]
async fn the_application_authorises_every_attach_with_fresh_credentials() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let server = Endpoint::builder(identity())
        .config(nimble())
        .client_auth(ClientAuth::Required)
        .authorize(|request| async move {
            match (&request.credentials[..], request.resuming) {
                (b"token 1", false) | (b"token 2", true) => Ok(()),
                (other, _) => Err(format!("not {}", String::from_utf8_lossy(other))),
            }
        })
        .bind(localhost())
        .unwrap();
    let client = dialer(nimble());
    let turn = std::sync::Arc::new(AtomicU32::new(0));
    let credentials = Credentials::renewed_by(move || {
        let turn = turn.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok(format!("token {turn}").into()) }
    });
    let connect = client.connect(server.local_addr().unwrap(), trust(&server)).credentials(credentials);
    let (dialed, accepted) = tokio::join!(within("a session", connect), accept(&server));
    let dialed = dialed.unwrap();
    let mut events = dialed.events();
    dialed.network_changed();
    event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
    // The third token is not taken: the session is over.
    dialed.network_changed();
    let reason = within("the end", dialed.closed()).await;
    assert_eq!((reason.code, &*reason.reason), (CloseCode::Unauthorized, "not token 3"));
    drop(accepted);
}

#[tokio::test]
async fn an_endpoint_that_only_dials_accepts_nobody() {
    let client = dialer(Config::default());
    assert!(client.accept().await.is_none());
    assert!(client.local_addr().unwrap_err().to_string().contains("only dials"));
}
