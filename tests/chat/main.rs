//! The chat example as its users have it: two processes, joined by nothing but a network.

mod process;

use bowline::Endpoint;
use bowline::config::{ChannelConfig, Config, Delivery};
use bowline::error::Outcome;
use bowline::tls::{Identity, Trust};
use process::{Chat, Listener};
use serde_json::Value;

/// Takes events until so many of a kind have come; yields those.
fn events(chat: &Chat, kind: &str, count: usize) -> Vec<Value> {
    std::iter::repeat_with(|| chat.event(kind)).take(count).collect()
}

fn texts(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["text"].as_str().unwrap()).collect()
}

/// The fate of the next message: its id and the outcomes that it was told, in order.
fn fate(chat: &Chat) -> (String, [String; 2]) {
    let receipts = events(chat, "receipt", 2);
    assert_eq!(receipts[0]["id"], receipts[1]["id"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&receipts[0]["id"]), [text(&receipts[0]["outcome"]), text(&receipts[1]["outcome"])])
}

fn handled() -> [String; 2] {
    ["received".to_owned(), "handled".to_owned()]
}

#[test]
fn both_sides_talk_and_are_told_what_became_of_it() {
    let mut ada = Chat::listen();
    let mut bob = ada.dial(&["--name", "bob"]);
    let connected = bob.event("connected");
    assert_eq!((&connected["peer"], &connected["resumed"]), (&ada.fingerprint.clone().into(), &false.into()));

    bob.say("hello, ada");
    let message = ada.chat.event("message");
    assert_eq!((message["from"].as_str(), message["text"].as_str()), (Some("bob"), Some("hello, ada")));
    assert_eq!(fate(&bob), (message["id"].as_str().unwrap().to_owned(), handled()));

    ada.chat.say("hello, bob");
    let message = bob.event("message");
    assert_eq!((message["from"].as_str(), message["text"].as_str()), (Some("ada"), Some("hello, bob")));
    assert_eq!(fate(&ada.chat), (message["id"].as_str().unwrap().to_owned(), handled()));
}

#[test]
fn the_listener_outlives_its_guests() {
    let mut ada = Chat::listen();
    for name in ["bob", "eve"] {
        let mut guest = ada.dial(&["--name", name]);
        guest.say("it is me\n/quit");
        assert_eq!(ada.chat.event("message")["from"], name);
        let closed = ada.chat.event("closed");
        assert_eq!((&closed["reason"], &closed["side"]), (&"normal".into(), &"remote".into()));
        let ended = guest.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.rest.last().unwrap().contains(r#"{"event":"closed","reason":"normal","side":"local""#));
    }
    ada.chat.say("/quit");
    assert_eq!(ada.chat.wait().code, Some(0));
}

#[test]
fn a_thousand_lines_each_way_at_once_come_once_and_in_order() {
    const LINES: usize = 1000;
    let mut ada = Chat::listen();
    let mut bob = ada.dial(&[]);
    let said: Vec<_> = (0..LINES).map(|n| format!("line {n}")).collect();
    let typing = [ada.chat.say_all(said.clone()), bob.say_all(said.clone())];
    for chat in [&ada.chat, &bob] {
        let mut heard = Vec::new();
        let mut outcomes = Vec::new();
        while heard.len() < LINES || outcomes.len() < LINES {
            let event = chat.next();
            match event["event"].as_str().unwrap() {
                "message" => heard.push(event["text"].as_str().unwrap().to_owned()),
                "receipt" if event["outcome"] != "received" => outcomes.push(event["outcome"].clone()),
                "problem" | "closed" => panic!("{event}"),
                _ => {}
            }
        }
        assert_eq!(heard, said);
        assert!(outcomes.iter().all(|outcome| outcome == "handled"));
    }
    for typing in typing {
        drop(typing.join().unwrap());
    }
}

#[test]
fn what_was_typed_before_there_was_a_connection_arrives() {
    let ada = Chat::listen();
    let mut bob = ada.dial(&[]);
    // More than is kept until there is a connection.
    let said: Vec<_> = (0..3000).map(|n| format!("line {n}")).collect();
    drop(bob.say_all(said.clone()).join().unwrap());
    assert_eq!(texts(&events(&ada.chat, "message", said.len())), said);
    assert_eq!(bob.wait().code, Some(0));
}

#[test]
fn a_second_guest_is_told_why_not() {
    let ada = Chat::listen();
    let mut bob = ada.dial(&[]);
    bob.event("connected");
    let eve = ada.dial(&[]).wait();
    assert_eq!((eve.code, eve.rest.len()), (Some(1), 0));
    assert!(
        eve.stderr.starts_with("chat: refused: ") && eve.stderr.contains("one guest at a time"),
        "{eve:?}"
    );
    bob.say("still here");
    assert_eq!(ada.chat.event("message")["text"], "still here");
}

#[test]
fn a_guest_that_has_lost_its_memory_takes_its_own_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob.pem");
    let identity = ["--identity", file.to_str().unwrap()];
    let ada = Chat::listen();
    let first = ada.dial(&identity);
    first.event("connected");
    let mut second = ada.dial(&identity);
    second.say("me again");
    assert_eq!(ada.chat.event("closed")["reason"], "superseded");
    assert_eq!(ada.chat.event("message")["text"], "me again");
    let first = first.wait();
    assert_eq!(first.code, Some(1));
    assert!(first.rest.last().unwrap().contains(r#""reason":"superseded""#), "{first:?}");
}

#[test]
fn a_listener_that_was_killed_is_found_again_and_has_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ada.pem");
    let identity = ["--identity", file.to_str().unwrap()];
    let ada = Chat::listen_with(&identity);
    let mut bob = ada.dial(&["--reconnect", "responsive"]);
    bob.say("before");
    assert_eq!(fate(&bob).1, handled());

    let addr = ada.addr.clone();
    drop(ada);
    bob.say("to nobody");
    let ada = Chat::listen_with(&[&identity[..], &["--addr", &addr]].concat());
    bob.event("reconnecting");
    // Which comes first, receipt or event, is not promised.
    let awaited =
        |event: &Value| ["connected", "receipt", "reset"].contains(&event["event"].as_str().unwrap());
    let mut told: Vec<_> = std::iter::repeat_with(|| bob.next()).filter(awaited).take(3).collect();
    told.sort_by_key(|event| event["event"].to_string());
    assert_eq!((&told[0]["event"], &told[0]["resumed"]), (&"connected".into(), &false.into()));
    assert_eq!((&told[1]["event"], &told[1]["outcome"]), (&"receipt".into(), &"unknown".into()));
    assert_eq!((&told[2]["event"], &told[2]["undelivered"]), (&"reset".into(), &1.into()));
    bob.say("after");
    assert_eq!(ada.chat.event("message")["text"], "after");
    assert_eq!(fate(&bob).1, handled());
}

#[test]
fn a_wrong_fingerprint_is_told_with_the_right_one() {
    let ada = Chat::listen();
    let expected = format!("sha256:{}", "ab".repeat(32));
    let bob = Chat::start(&["connect", &ada.addr, "--fingerprint", &expected, "--json"]).wait();
    assert_eq!(bob.code, Some(1));
    assert!(bob.stderr.contains(&expected) && bob.stderr.contains(&ada.fingerprint), "{bob:?}");
}

#[test]
fn when_the_listener_leaves_the_other_ends_though_its_input_is_open() {
    let mut ada = Chat::listen();
    let bob = ada.dial(&[]);
    bob.event("connected");
    ada.chat.event("connected");
    ada.chat.say("/quit");
    assert_eq!(bob.event("presence")["state"], "available");
    assert_eq!(bob.event("presence")["state"], "leaving");
    let closed = bob.event("closed");
    assert_eq!((&closed["reason"], &closed["side"]), (&"normal".into(), &"remote".into()));
    assert_eq!(bob.wait().code, Some(0));
    assert_eq!(ada.chat.wait().code, Some(0));
}

#[test]
fn what_controls_a_terminal_is_not_shown() {
    let ada = Chat::listen();
    let mut bob = ada.dial(&[]);
    bob.say("\u{1b}[31mred\u{1b}[0m \u{202e}turned\u{2066} a\u{200b}b\u{7}\u{9b}2J");
    assert_eq!(ada.chat.event("message")["text"], "red turned ab");
}

#[test]
fn a_message_over_the_limit_is_an_error_and_the_chat_goes_on() {
    let ada = Chat::listen();
    let mut bob = ada.dial(&[]);
    // The first is longer than what is kept of a line, the second too long only with what goes around it.
    for size in [3 * 1024 * 1024, 1024 * 1024] {
        bob.say(&"x".repeat(size));
        let problem = bob.event("problem");
        let text = problem["text"].as_str().unwrap();
        assert!(text.starts_with("not sent: ") && text.contains("over the limit of 1048576 bytes"), "{text}");
    }
    bob.say("short");
    assert_eq!(ada.chat.event("message")["text"], "short");
}

#[tokio::test]
async fn what_is_no_chat_message_is_rejected_with_a_reason() {
    let ada = Chat::listen();
    let endpoint = Endpoint::client(Identity::generate().unwrap(), Config::default()).unwrap();
    let trust = Trust::fingerprint(ada.fingerprint.parse().unwrap());
    let session = endpoint.connect(ada.addr.as_str(), trust).await.unwrap();
    let (channel, _inbox) =
        session.open("chat", ChannelConfig::new(Delivery::ReliableOrdered)).await.unwrap();
    for noise in [&b"\xff\xff\xff\xff"[..], b"\x12\x7f"] {
        let outcome = channel.send(noise).await.unwrap().outcome().await;
        let Outcome::Rejected { reason } = outcome else { panic!("{outcome:?}") };
        assert!(reason.starts_with("not a chat.v1.Envelope"), "{reason}");
        assert!(ada.chat.event("problem")["text"].as_str().unwrap().contains("was rejected"));
    }
}

#[test]
fn without_a_terminal_there_are_plain_lines() {
    let mut ada = Chat::start(&["listen"]);
    let fingerprint = ada.line_with("* listening on ");
    let command = ada.line_with("* to join, run: ");
    let words: Vec<_> = command.split(' ').skip_while(|word| *word != "connect").collect();
    assert!(fingerprint.ends_with(words[3]) && words[2] == "--fingerprint", "{command}");
    let mut bob = Chat::start(&words);
    bob.say("hello");
    assert_eq!(ada.line_with("bob"), "bob: hello");
    assert_eq!(bob.line_with("✓✓"), "✓✓ hello");
    bob.say("/quit");
    ada.say("/quit");
    for ended in [ada.wait(), bob.wait()] {
        assert_eq!(ended.code, Some(0));
        assert!(!ended.rest.iter().any(|line| line.contains('\u{1b}')), "{ended:?}");
    }
}

#[test]
fn an_identity_is_kept_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ada.pem");
    let fingerprints =
        [(), ()].map(|()| Chat::listen_with(&["--identity", file.to_str().unwrap()]).fingerprint);
    assert_eq!(fingerprints[0], fingerprints[1]);
    let Listener { fingerprint, .. } = Chat::listen();
    assert_ne!(fingerprints[0], fingerprint);
}

#[test]
fn a_mistake_on_the_command_line_is_code_2_and_a_clear_message() {
    for (arguments, message) in [
        (&["connect", "127.0.0.1:1", "--fingerprint", "sha256:00"][..], "64 hexadecimal digits"),
        (&["listen", "--addr", "somewhere"], "somewhere"),
        (&["shout"], "shout"),
    ] {
        let ended = Chat::start(arguments).wait();
        assert_eq!((ended.code, ended.rest.len()), (Some(2), 0));
        assert!(ended.stderr.contains(message), "{ended:?}");
    }
}

#[test]
fn the_demo_shows_a_bad_network_and_counts_what_it_did() {
    let demo = Chat::start(&["demo"]).wait();
    assert_eq!((demo.code, demo.stderr.as_str()), (Some(0), ""));
    assert_eq!(demo.rest.last().unwrap(), "sent=221 handled=221 lost=0 doubled=0 out_of_order=0");
    let mut lines = demo.rest.iter();
    for shown in [
        "the NAT gives bob a port",
        "rain: 15 % of the packets",
        "the NAT closes bob's port",
        "ada   * the peer is at 127.0.0.1:",
        "the network goes dark for 5 s",
        "bob   * the peer does not answer",
        "the network is there again",
        "✓ ✓✓ It is dark in here.",
        "a hundred lines each, at once",
        "the rain is over",
        " packets ",
        "the longest wait for a message was ",
    ] {
        assert!(
            lines.any(|line| line.contains(shown)),
            "{shown:?} is missing, or not in its place: {demo:#?}"
        );
    }
}

#[test]
fn the_demo_is_lines_of_json_on_request() {
    let demo = Chat::start(&["demo", "--json"]).wait();
    assert_eq!((demo.code, demo.stderr.as_str()), (Some(0), ""));
    let events: Vec<Value> = demo.rest.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |kind: &str| events.iter().position(|event| event["event"] == kind).expect(kind);
    let first = [find("network"), find("mapped"), find("conditions"), find("rebound"), find("path_changed")];
    assert!(first.is_sorted() && first[0] == 0, "{first:?}");
    assert_eq!(events[find("path_changed")]["who"], "ada");

    // What is said in the dark waits until there is light again.
    let (dark, light) = (find("blocked"), find("unblocked"));
    let in_the_dark: Vec<&Value> =
        events[dark..light].iter().filter(|event| event["event"] == "accepted").collect();
    assert!(!in_the_dark.is_empty());
    for said in in_the_dark {
        let handled = |event: &Value| event["id"] == said["id"] && event["outcome"] == "handled";
        assert!(events.iter().position(handled).expect("it was handled") > light, "{said}");
    }

    let figures = &events[find("figures")];
    let dropped: u64 =
        ["lost", "blocked", "unmapped"].iter().map(|cause| figures[cause].as_u64().unwrap()).sum();
    assert_eq!(figures["dropped"], dropped);
    let accepted = events.iter().filter(|event| event["event"] == "accepted").count();
    let summary = events.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!((&summary["sent"], &summary["handled"]), (&accepted.into(), &accepted.into()));
    for none in ["lost", "doubled", "out_of_order"] {
        assert_eq!(summary[none], 0, "{none}");
    }
    assert!(summary["longest_wait_ms"].as_u64().unwrap() > 0);
}
