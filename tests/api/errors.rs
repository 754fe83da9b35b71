//! What cannot work, and what is said about it.

use std::net::SocketAddr;
use std::time::Duration;

use bowline::config::Config;
use bowline::error::{BindError, ConnectError, OpenError, SendError};
use bowline::protocol::types::SessionState;
use bowline::{
    ChannelConfig, Credentials, Delivery, Endpoint, HeartbeatPolicy, Identity, OnReset, Power, Trust,
    WhenFull,
};

use crate::support::{dialer, identity, line, listen, localhost, meet, nimble, ordered, pair, trust, within};

/// What was wrong and what to do about it is said in the same breath.
fn says(error: &impl std::fmt::Display, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_or_not_ours_cannot_be_bound() {
    let server = listen(nimble());
    let taken = server.local_addr().unwrap();
    let error = Endpoint::bind(taken, identity(), nimble()).unwrap_err();
    assert!(matches!(error, BindError::Socket { addr, .. } if addr == taken), "{error:?}");
    says(&error, &[&taken.to_string(), "choose another port, or 0"]);
    let foreign: SocketAddr = "192.0.2.1:0".parse().unwrap();
    let error = Endpoint::bind(foreign, identity(), nimble()).unwrap_err();
    says(&error, &["192.0.2.1", "no interface of this machine"]);
}

#[test]
fn an_endpoint_needs_a_runtime() {
    let error = Endpoint::bind(localhost(), identity(), nimble()).unwrap_err();
    assert!(matches!(error, BindError::NoRuntime), "{error:?}");
    says(&error, &["call this from within one"]);
}

#[tokio::test]
async fn values_out_of_range_name_their_knob() {
    let second = Duration::from_secs(1);
    let adaptive = |longest| HeartbeatPolicy::Adaptive { power: Power::Mains, longest };
    for (knob, found, config) in [
        ("heartbeat", "1s", Config::default().heartbeat(second)),
        ("heartbeat", "271s", Config::default().heartbeat(second * 271)),
        ("heartbeat", "1s", Config::default().heartbeat(adaptive(second))),
        ("heartbeat", "271s", Config::default().heartbeat(adaptive(second * 271))),
        ("session_expiry", "0ns", Config::default().session_expiry(Duration::ZERO)),
        ("handshake_timeout", "99ms", Config::default().handshake_timeout(Duration::from_millis(99))),
        ("max_message_size", "0", Config::default().max_message_size(0)),
        ("max_message_size", "67108865", Config::default().max_message_size(64 * 1024 * 1024 + 1)),
        ("max_channels", "1025", Config::default().max_channels(1025)),
        ("max_sessions", "0", Config::default().max_sessions(0)),
        ("max_sessions_per_identity", "0", Config::default().max_sessions_per_identity(0)),
        ("max_handshakes", "0", Config::default().max_handshakes(0)),
    ] {
        let error = Endpoint::client(identity(), config).unwrap_err();
        assert!(matches!(&error, BindError::Config(it) if it.knob == knob), "{error:?}");
        says(
            &error,
            &[&format!("`{knob}` is {found}"), " to "].map(|it| if found == "0" { knob } else { it }),
        );
    }
    let pair = pair().await;
    for (knob, config) in [
        ("outbox messages", ordered().outbox(0, 8 << 20)),
        ("outbox bytes", ordered().outbox(1, 1000)),
        ("inbox messages", ordered().inbox(0, 8 << 20)),
        ("inbox bytes", ordered().inbox(1, 1000)),
        ("large outbox_bytes", ordered().large((64 << 20) - 1, 64 << 20)),
        ("large inbox_bytes", ordered().large(64 << 20, 0)),
        ("weight", ordered().weight(0)),
        ("deadline", ordered().deadline(Some(Duration::ZERO))),
        ("deadline", ordered().deadline(Some(Duration::MAX))),
        ("max_attempts", ordered().max_attempts(0)),
    ] {
        let error = pair.dialed.open("x", config).await.unwrap_err();
        assert!(matches!(&error, OpenError::Config(it) if it.knob == knob), "{error:?}");
        says(&error, &[knob, "it must be"]);
    }
}

#[tokio::test]
async fn what_a_mode_rules_out_names_the_knob_the_mode_and_the_choice() {
    let pair = pair().await;
    for delivery in Delivery::ALL {
        let config = ChannelConfig::new(delivery);
        let (knob, value, config, choice) = match delivery.is_reliable() {
            true => ("when_full", "DropOldest", config.when_full(WhenFull::DropOldest), "`Wait` or `Error`"),
            false => ("on_reset", "Redeliver", config.on_reset(OnReset::Redeliver), "`Unknown`"),
        };
        let error = pair.dialed.open("x", config).await.unwrap_err();
        assert!(matches!(&error, OpenError::Config(it) if it.knob == knob), "{error:?}");
        says(
            &error,
            &[
                &format!("`{knob}` is {value}"),
                &format!("the channel is {delivery}"),
                choice,
                "choose",
                "mode",
            ],
        );
    }
}

#[tokio::test]
async fn a_budget_for_large_messages_matters_only_where_there_are_any() {
    let small = || nimble().max_message_size(64 * 1024);
    let (client, server) = (dialer(small()), listen(small()));
    let (dialed, _accepted) = meet(&client, &server).await;
    let _kept = dialed.open("small", ordered().large(0, 0)).await.unwrap();
}

#[tokio::test]
async fn targets_that_make_no_sense_are_told_from_those_that_do_not_exist() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    for (target, problem) in [
        ("peer.example", "the port is missing"),
        ("peer.example:0", "port 0"),
        ("peer.example:http", "not a number"),
        (":4433", "the host is missing"),
        ("::1:4433", "in brackets"),
        ("quic://peer.example:4433", "not a name"),
    ] {
        let error = client.connect(target, trust(&server)).await.unwrap_err();
        assert!(matches!(&error, ConnectError::BadTarget { target: it, .. } if it == target), "{error:?}");
        says(&error, &[target, "is not `host:port`", problem]);
    }
    let error = within("the resolver", client.connect("no-such-host.invalid:4433", trust(&server))).await;
    let error = error.unwrap_err();
    assert!(matches!(&error, ConnectError::Unresolvable { .. }), "{error:?}");
    says(&error, &["cannot resolve", "no-such-host.invalid"]);
    assert_eq!(client.stats().sessions, 0);
}

#[tokio::test]
async fn a_peer_with_another_key_is_told_from_one_that_is_not_there() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let wanted = Identity::generate().unwrap().fingerprint();
    let dial = client.connect(server.local_addr().unwrap(), Trust::fingerprint(wanted));
    let error = within("the refusal", dial).await.unwrap_err();
    assert!(matches!(&error, ConnectError::WrongFingerprint { .. }), "{error:?}");
    let found = server.fingerprint().to_string();
    says(&error, &[&wanted.to_string(), &found, "either this is not the peer you mean"]);
}

#[tokio::test]
async fn credentials_that_are_too_long_or_cannot_be_had_stop_the_dial() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let addr = server.local_addr().unwrap();
    let dial = client.connect(addr, trust(&server)).credentials(vec![0; 4097]);
    let error = within("the failure", dial).await.unwrap_err();
    says(&error, &["`credentials` is 4097 bytes", "at most 4096"]);
    let credentials = Credentials::renewed_by(|| async { Err("the vault is locked".to_owned()) });
    let dial = client.connect(addr, trust(&server)).credentials(credentials);
    let error = within("the failure", dial).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Credentials { .. }), "{error:?}");
    says(&error, &["the vault is locked"]);
}

#[tokio::test]
async fn a_message_over_either_sides_limit_is_not_accepted() {
    let (client, server) = (dialer(nimble()), listen(nimble().max_message_size(1000)));
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line(&dialed, &accepted, "sizes").await;
    for (size, limit) in [(1001, 1000), (2 << 20, 1000)] {
        let error = line.out.send(vec![0; size]).await.unwrap_err();
        assert_eq!(error, SendError::TooLarge { size, limit });
        says(&error, &["split it, or raise `max_message_size` on both sides"]);
    }
    let error = line.peer_out.try_send(vec![0; 1001]).unwrap_err();
    assert_eq!(error, SendError::TooLarge { size: 1001, limit: 1000 });
    let largest = line.out.send(vec![9; 1000]).await.unwrap();
    assert_eq!(within("a message", line.peer.recv()).await.unwrap().payload().len(), 1000);
    within("handled", largest).await.unwrap();
    assert_eq!(line.out.stats().accepted, 1);
}

#[tokio::test]
async fn channels_that_cannot_be_opened_say_why() {
    let (client, server) = (dialer(nimble()), listen(nimble().max_channels(2)));
    let (dialed, _accepted) = meet(&client, &server).await;
    let error = dialed.open("", ordered()).await.unwrap_err();
    assert_eq!(error, OpenError::LabelEmpty);
    says(&error, &["1 to 255 bytes"]);
    let error = dialed.open(&"x".repeat(256), ordered()).await.unwrap_err();
    assert_eq!(error, OpenError::LabelTooLong { size: 256, limit: 255 });
    let longest = "x".repeat(255);
    let _kept = dialed.open(&longest, ordered()).await.unwrap();
    let error = dialed.open(&longest, ordered()).await.unwrap_err();
    assert_eq!(error, OpenError::AlreadyOpen(longest));
    says(&error, &["keep using its handles"]);
    let _second = dialed.open("second", ordered()).await.unwrap();
    let error = dialed.open("third", ordered()).await.unwrap_err();
    assert_eq!(error, OpenError::TooMany { open: 2, limit: 2 });
    says(&error, &["finish one, or raise `max_channels`"]);
    assert_eq!(dialed.state(), SessionState::Connected);
}

#[tokio::test]
async fn a_finished_channel_and_a_closed_session_take_nothing() {
    let pair = pair().await;
    let line = line(&pair.dialed, &pair.accepted, "over").await;
    line.out.finish();
    let error = line.out.send("late").await.unwrap_err();
    assert_eq!(error, SendError::Finished);
    says(&error, &["open another label"]);
    assert_eq!(line.out.try_send("late").unwrap_err(), SendError::Finished);
    let (other, _back) = pair.dialed.open("other", ordered()).await.unwrap();
    let reason = within("the close", pair.dialed.close()).await;
    let error = other.send("late").await.unwrap_err();
    assert_eq!(error, SendError::Closed(reason.clone()));
    says(&error, &["connect again"]);
    let error = pair.dialed.open("new", ordered()).await.unwrap_err();
    assert_eq!(error, OpenError::Closed(reason));
    says(&error, &["connect again"]);
}
