//! What cannot be meant, whom one cannot reach, and how a server ends.

use std::net::UdpSocket;

use crate::process::{Perf, Server};

const FINGERPRINT: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn a_mistake_on_the_command_line_is_code_2_and_names_the_option() {
    let run = |options: &str| format!("run 127.0.0.1:1 --fingerprint {FINGERPRINT} --json {options}");
    for (words, named) in [
        (run("--count 1 --seconds 1"), &["--count", "--seconds"][..]),
        (run("--pattern flow --rate 0"), &["--rate 0"]),
        (run("--size 23"), &["--size 23", "24 bytes"]),
        (run("--size 67108865"), &["--size 67108865", "67108864"]),
        (run("--delivery unreliable --size 65537"), &["--size", "--delivery unreliable", "65536"]),
        (run("--delivery unreliable --pattern acked"), &["--pattern acked", "--delivery unreliable"]),
        (run("--deadline 0"), &["--deadline"]),
        (run("--channels 0"), &["--channels 0"]),
        (run("--delivery sometimes"), &["sometimes", "reliable-latest"]),
        ("run 127.0.0.1:1 --fingerprint sha256:00".to_owned(), &["64 hexadecimal digits"]),
        ("run 127.0.0.1:1".to_owned(), &["--fingerprint"]),
        ("serve --addr somewhere".to_owned(), &["somewhere"]),
        ("serve --stall -1".to_owned(), &["-1"]),
    ] {
        let ended = Perf::start(&words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>()).wait();
        assert_eq!((ended.code, ended.rest.len()), (Some(2), 0), "{words}: {ended:?}");
        assert!(named.iter().all(|name| ended.stderr.contains(name)), "{words}: {ended:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_code_2_in_bounded_time() {
    // Somebody has the port, and says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let ended = Perf::start(&["run", &addr, "--fingerprint", FINGERPRINT, "--json"]).wait();
    assert_eq!((ended.code, ended.rest.len()), (Some(2), 0), "{ended:?}");
    assert!(ended.stderr.starts_with("perf: no answer from") && ended.stderr.contains(&addr), "{ended:?}");
}

#[test]
fn another_server_than_the_one_that_was_meant_is_code_2() {
    let server = Server::start();
    let ended = Perf::start(&["run", &server.addr, "--fingerprint", FINGERPRINT]).wait();
    assert_eq!((ended.code, ended.rest.len()), (Some(2), 0), "{ended:?}");
    assert!(ended.stderr.contains(FINGERPRINT) && ended.stderr.contains(&server.fingerprint), "{ended:?}");
}

#[test]
fn an_identity_is_kept_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.pem");
    let identity = ["--identity", file.to_str().unwrap()];
    let fingerprints = [(), ()].map(|()| Server::start_with(&identity).fingerprint);
    assert_eq!(fingerprints[0], fingerprints[1]);
    assert_ne!(fingerprints[0], Server::start().fingerprint);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_server_and_the_end_of_its_input_does_not() {
    for signal in ["TERM", "INT"] {
        // Its input ended before it began.
        let server = Server::start();
        assert_eq!(server.run("--count 10").wait().code, Some(0));
        server.perf.signal(signal);
        let ended = server.perf.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{signal}");
        assert!(ended.has_event("connected") && ended.has_event("closed"), "{ended:?}");
    }
}
