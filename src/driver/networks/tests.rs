//! A memory of networks beside a calendar that is set by hand, and files of every kind.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A calendar that is set by hand.
#[derive(Debug, Default)]
struct Calendar(AtomicU64);

impl Clock for Calendar {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

fn networks(file: Option<&Path>) -> (Networks, Arc<Calendar>) {
    let clock = Arc::new(Calendar(AtomicU64::new(1_900_000_000)));
    (Networks::new(clock.clone(), file.map(Path::to_owned)), clock)
}

fn survived(seconds: u64) -> Lifetime {
    Lifetime { survived: Some(Duration::from_secs(seconds)), forgotten: None }
}

fn id(number: u8) -> NetworkId {
    NetworkId([number; 16])
}

/// A file of its own for a test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("bowline-networks-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_network_is_known_by_its_name_or_by_the_places_in_it() {
    let (networks, _) = networks(None);
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let here = networks.identify(Some(ip("192.168.1.17")), ip("203.0.113.5"));
    assert_eq!(here, networks.identify(Some(ip("192.168.1.99")), ip("203.0.113.77")));
    assert_ne!(here, networks.identify(Some(ip("192.168.2.17")), ip("203.0.113.5")));
    assert_ne!(here, networks.identify(Some(ip("192.168.1.17")), ip("203.0.114.5")));
    assert_ne!(here, networks.identify(None, ip("203.0.113.5")));
    assert_eq!(here, networks.identify(Some(ip("::ffff:192.168.1.17")), ip("203.0.113.5")));
    let six = networks.identify(Some(ip("2001:db8:1:2:3::4")), ip("2001:db8::5"));
    assert_eq!(six, networks.identify(Some(ip("2001:db8:1:2:ffff::4")), ip("2001:db8::6")));
    networks.set_name(Some("home".to_owned()));
    let home = networks.identify(Some(ip("192.168.1.17")), ip("203.0.113.5"));
    assert_ne!(home, here);
    assert_eq!(home, networks.identify(None, ip("203.0.113.5")));
    networks.set_name(None);
    assert_eq!(here, networks.identify(Some(ip("192.168.1.17")), ip("203.0.113.5")));
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let (networks, _) = networks(None);
    for number in 0..64 {
        networks.note(id(number), Some(survived(number.into())), Instant::now());
    }
    assert_eq!(networks.recall(id(0)), Some(survived(0)));
    networks.note(id(64), Some(survived(64)), Instant::now());
    assert_eq!(networks.recall(id(1)), None);
    assert_eq!(networks.recall(id(0)), Some(survived(0)));
    networks.note(id(0), None, Instant::now());
    assert_eq!(networks.recall(id(0)), None);
}

#[test]
fn what_is_older_than_a_month_is_forgotten() {
    let (networks, clock) = networks(None);
    networks.note(id(1), Some(survived(30)), Instant::now());
    clock.0.fetch_add(KEPT.as_secs(), Ordering::Relaxed);
    assert_eq!(networks.recall(id(1)), Some(survived(30)));
    clock.0.fetch_add(1, Ordering::Relaxed);
    assert_eq!(networks.recall(id(1)), None);
}

#[test]
fn news_is_what_was_found_out_since_a_session_came_in() {
    let (networks, _) = networks(None);
    let now = Instant::now();
    let before = |seconds| now - Duration::from_secs(seconds);
    networks.note(id(1), Some(survived(30)), before(10));
    assert_eq!(networks.recall_news(id(1), before(11)), Some(survived(30)));
    assert_eq!(networks.recall_news(id(1), before(9)), None);
    assert_eq!(networks.recall(id(1)), Some(survived(30)));
    networks.note(id(1), None, now);
    assert_eq!(networks.recall_news(id(1), before(1)), None);
    assert!(lock(&networks.found).is_empty());
}

#[test]
fn one_session_probes_in_a_network_at_a_time() {
    let (networks, _) = networks(None);
    let claim = networks.claim(id(1));
    assert!(claim.as_ref().is_some_and(|claim| claim.network == id(1)));
    assert!(networks.claim(id(1)).is_none());
    assert!(networks.claim(id(2)).is_some());
    drop(claim);
    assert!(networks.claim(id(1)).is_some());
}

#[test]
fn a_file_brings_it_all_back() {
    let file = Scratch::new("back");
    let (networks_before, _) = networks(Some(&file.0));
    let both = Lifetime { forgotten: Some(Duration::from_millis(33_500)), ..survived(30) };
    networks_before.note(id(1), Some(both), Instant::now());
    networks_before.note(
        id(2),
        Some(Lifetime { survived: None, forgotten: Some(Duration::from_secs(3)) }),
        Instant::now(),
    );
    networks_before.memory.save();
    let text = fs::read_to_string(&file.0).unwrap();
    assert!(
        text.starts_with("bowline networks 1\n01010101010101010101010101010101 1900000000 30000 33500\n"),
        "{text}"
    );
    let (networks_after, _) = networks(Some(&file.0));
    assert_eq!(*lock(&networks_after.memory.entries), *lock(&networks_before.memory.entries));
}

#[test]
fn a_file_that_is_not_one_is_left_out_and_replaced() {
    let file = Scratch::new("broken");
    let line = "01010101010101010101010101010101 1900000000 30000 -";
    let long = format!("{HEADER}\n{}", format!("{line}\n").repeat(2000));
    let bad = [
        "",
        "something else",
        "bowline networks 2\n",
        "bowline networks 1\n01 1900000000 30000 -\n",
        "bowline networks 1\n01010101010101010101010101010101 1900000000 30000\n",
        "bowline networks 1\n01010101010101010101010101010101 1900000000 30000 - -\n",
        "bowline networks 1\n01010101010101010101010101010101 1900000000 30000 20000\n",
        "bowline networks 1\n01010101010101010101010101010101 1900000000 99999999999 -\n",
        "bowline networks 1\n+1010101010101010101010101010101 1900000000 30000 -\n",
        "bowline networks 1\n\n",
        "bowline networks 1\n\u{e9}",
        &long,
    ];
    for text in bad {
        fs::write(&file.0, text).unwrap();
        let (networks, _) = networks(Some(&file.0));
        assert_eq!(networks.recall(id(1)), None, "{:?}", text.get(..60.min(text.len())));
        networks.note(id(1), Some(survived(30)), Instant::now());
        networks.memory.save();
        assert_eq!(load(&file.0).len(), 1);
    }
    fs::write(&file.0, [0xFF, 0xFE]).unwrap();
    assert_eq!(load(&file.0), []);
    fs::write(&file.0, format!("{HEADER}\n{line}\n")).unwrap();
    assert_eq!(load(&file.0).len(), 1, "and this is one");
}

#[test]
fn a_file_that_cannot_be_written_is_no_problem() {
    let folder = std::env::temp_dir().join("bowline-no-such-folder").join("file");
    let (networks, _) = networks(Some(&folder));
    networks.note(id(1), Some(survived(30)), Instant::now());
    networks.memory.save();
    assert_eq!(networks.recall(id(1)), Some(survived(30)));
    assert!(!folder.exists());
}
