//! What the acceptor's application is shown, and what comes of its answer (S7).

use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::wire::{Control, Hello, MAX_CREDENTIALS, Refuse};
use bowline::{
    AttachRequest, CloseCode, Config, ConnectError, Credentials, Endpoint, EndpointBuilder, ReconnectPolicy,
    SessionState, Trust,
};
use bytes::Bytes;

use crate::host::{Host, a_while, end, identity};
use crate::raw::{Claim, Face, Link, Listener};
use crate::soon;

/// What a callback says.
type Answer = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

type Seen = Arc<Mutex<Vec<AttachRequest>>>;

/// Lets in whoever attaches for the first time; `resume` decides about the others.
fn watched(resume: Result<(), String>) -> (EndpointBuilder, Seen) {
    let seen = Seen::default();
    let notes = seen.clone();
    let builder = Endpoint::builder(identity()).authorize(move |request| {
        let answer = if request.resuming { resume.clone() } else { Ok(()) };
        notes.lock().unwrap().push(request);
        ready(answer)
    });
    (builder, seen)
}

fn with_token(hello: Hello, token: &'static str) -> Control {
    Control::Hello(Box::new(Hello { credentials: Bytes::from_static(token.as_bytes()), ..hello }))
}

#[tokio::test]
async fn the_application_is_shown_identity_and_credentials_of_each_attach() {
    let (builder, seen) = watched(Ok(()));
    let mut host = Host::built(builder);
    let (owner, claim) = (identity(), Claim::new(1));
    let (_link, _session) = host.raw(&owner, &claim).await;
    let mut again = Link::dial(host.address, Face::of(&owner)).await;
    let hello = claim.at(2).hello(&again);
    again.say(&with_token(hello, "second token")).await;
    assert!(matches!(again.hear().await, Control::Welcome(_)));
    // Who cannot prove anything is not even asked about.
    let mut thief = Link::dial(host.address, Face::of(&identity())).await;
    let hello = claim.at(3).hello(&thief);
    thief.say(&with_token(hello, "stolen token")).await;
    thief.end().await;

    let seen = seen.lock().unwrap();
    let shown: Vec<_> = seen.iter().map(|it| (it.resuming, &it.credentials[..])).collect();
    assert_eq!(shown, [(false, &b""[..]), (true, b"second token")]);
    for request in &*seen {
        assert_eq!(request.session, claim.session);
        assert_eq!(request.peer.as_ref().unwrap().fingerprint(), owner.fingerprint());
        assert!(request.remote.ip().is_loopback());
        assert!(!format!("{request:?}").contains("token"), "credentials are not for logs");
    }
}

#[tokio::test]
async fn a_resume_that_the_application_refuses_is_told_why_and_changes_nothing() {
    let (builder, _seen) = watched(Err("the account is closed".to_owned()));
    let mut host = Host::built(builder);
    let (owner, claim) = (identity(), Claim::new(1));
    let (link, session) = host.raw(&owner, &claim).await;
    let mut again = Link::dial(host.address, Face::of(&owner)).await;
    let hello = claim.at(2).hello(&again);
    again.say(&Control::Hello(Box::new(hello))).await;
    let Control::Refuse(refuse) = again.hear().await else { panic!("not refused") };
    assert_eq!((refuse.code, refuse.reason.as_str(), refuse.retry), (4, "the account is closed", false));
    assert_eq!(again.end().await, (4, "the account is closed".to_owned()));
    a_while().await;
    assert_eq!(session.state(), SessionState::Connected);
    assert!(link.connection.close_reason().is_none());
}

#[tokio::test]
async fn a_dial_that_the_application_refuses_says_why() {
    let refuse = |_| ready(Err("no entry with this token".to_owned()));
    let host = Host::built(Endpoint::builder(identity()).authorize(refuse));
    let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
    let dial = endpoint.connect(host.address, host.trust()).credentials("token");
    match soon(dial).await {
        Err(ConnectError::Refused(reason)) => {
            assert_eq!((reason.code, reason.retry), (CloseCode::Unauthorized, false));
            assert_eq!(reason.reason, "no entry with this token");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((host.endpoint.stats().sessions, endpoint.stats().sessions), (0, 0));
}

#[tokio::test]
async fn credentials_of_four_kilobytes_are_shown_and_one_byte_more_is_an_error_here() {
    let (builder, seen) = watched(Ok(()));
    let mut host = Host::built(builder);
    let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
    let dial = |size: usize| endpoint.connect(host.address, host.trust()).credentials(vec![7; size]);
    let (largest, beyond) = (dial(MAX_CREDENTIALS), dial(MAX_CREDENTIALS + 1));
    let _session = soon(largest).await.unwrap();
    host.session().await;
    assert_eq!(seen.lock().unwrap()[0].credentials, vec![7; MAX_CREDENTIALS]);
    match soon(beyond).await {
        Err(ConnectError::Config(error)) => assert_eq!(error.knob, "credentials"),
        other => panic!("{other:?}"),
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

/// A raw acceptor, and a session dialed to it that shows "token 1", "token 2" and so on; what `odd` says of the
/// second time.
fn renewing(
    odd: fn() -> Answer,
) -> (Listener, impl Future<Output = Result<bowline::Session, ConnectError>>, Arc<AtomicU32>) {
    let key = identity();
    let listener = Listener::new(&key);
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    let credentials = Credentials::renewed_by(move || {
        let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
        async move { if number == 2 { odd().await } else { Ok(Bytes::from(format!("token {number}"))) } }
    });
    let config = Config::default().reconnect(ReconnectPolicy::Responsive);
    let endpoint = Endpoint::client(identity(), config).unwrap();
    let trust = Trust::fingerprint(key.fingerprint());
    let dial = endpoint.connect(listener.address, trust).credentials(credentials);
    (listener, soon(dial), count)
}

#[tokio::test]
async fn credentials_are_renewed_for_each_attach() {
    let (listener, dial, count) = renewing(|| Box::pin(ready(Ok(Bytes::from_static(b"token two")))));
    let (session, (link, first)) = tokio::join!(dial, listener.welcome());
    let _session = session.unwrap();
    link.connection.close(11u32.into(), b"");
    let (_link, second) = listener.welcome().await;
    assert_eq!((&first.credentials[..], &second.credentials[..]), (&b"token 1"[..], &b"token two"[..]));
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_callback_that_fails_or_hangs_costs_one_attempt() {
    let odd: [fn() -> Answer; 3] = [
        || Box::pin(ready(Err("the vault is closed".to_owned()))),
        || Box::pin(ready(Ok(vec![0; MAX_CREDENTIALS + 1].into()))),
        || Box::pin(std::future::pending()),
    ];
    for odd in odd {
        let (listener, dial, _count) = renewing(odd);
        let (session, (link, _)) = tokio::join!(dial, listener.welcome());
        let _session = session.unwrap();
        link.connection.close(11u32.into(), b"");
        let (_link, hello) = listener.welcome().await;
        assert_eq!(hello.credentials, "token 3");
    }
}

#[tokio::test]
async fn a_refusal_at_a_resume_ends_the_session_with_its_reason_and_is_not_retried() {
    let (listener, dial, count) = renewing(|| Box::pin(ready(Ok(Bytes::from_static(b"too old")))));
    let (session, (link, _)) = tokio::join!(dial, listener.welcome());
    let session = session.unwrap();
    link.connection.close(11u32.into(), b"");
    let (mut link, _) = listener.greet().await;
    let refuse = Refuse { code: 4, reason: "the token is too old".to_owned(), retry: false };
    link.say(&Control::Refuse(refuse)).await;
    let reason = end(&session).await;
    assert_eq!((reason.code, reason.retry), (CloseCode::Unauthorized, false));
    assert_eq!(reason.reason, "the token is too old");
    let nobody = tokio::time::timeout(Duration::from_millis(300), listener.accept_connection()).await;
    assert!(nobody.is_err() && count.load(Ordering::Relaxed) == 2);
}
