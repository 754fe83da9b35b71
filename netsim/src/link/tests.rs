//! Each model by its figures: fixed seeds, virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::packet::{Fate, Packet};
use crate::time::Time;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn packet(payload_len: usize) -> Packet {
    let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
    Packet::new(address(1), address(2), vec![0; payload_len])
}

/// Offers `count` packets of this size, one each `gap`, and collects everything that comes out.
fn offer(pipe: &mut Pipe, count: u64, payload_len: usize, gap: Duration) -> Vec<Exit> {
    let mut exits = Vec::new();
    for number in 0..count {
        let now = Time::ZERO + gap * u32::try_from(number).unwrap();
        pipe.push(now, packet(payload_len));
        exits.extend(std::iter::from_fn(|| pipe.pop(now)));
    }
    exits.extend(drain(pipe));
    exits
}

fn drain(pipe: &mut Pipe) -> Vec<Exit> {
    let mut exits = Vec::new();
    while let Some(now) = pipe.next_wakeup() {
        exits.extend(std::iter::from_fn(|| pipe.pop(now)));
    }
    exits
}

fn pipe(seed: u64, conditions: &Conditions) -> Pipe {
    Pipe::new("link.up", seed, conditions).unwrap()
}

fn fates(exits: &[Exit]) -> BTreeMap<u64, Fate> {
    exits.iter().filter(|exit| exit.fate != Fate::Duplicated).map(|exit| (exit.number, exit.fate)).collect()
}

#[test]
fn nothing_said_is_a_perfect_link() {
    let mut perfect = pipe(1, &Conditions::new());
    let exits = offer(&mut perfect, 1_000, 1_200, Duration::from_micros(1));
    assert!(exits.iter().all(|exit| exit.fate == Fate::Delivered));
    assert!(exits.iter().all(|exit| exit.at == Time::from_nanos((exit.number - 1) * 1_000)));
    assert_eq!(perfect.counts().delivered_bytes, 1_000 * 1_228);
}

/// What many seeds achieved together.
fn pooled(conditions: &Conditions) -> LinkCounts {
    let mut sum = LinkCounts::default();
    for seed in 1..=16 {
        let mut lossy = pipe(seed, conditions);
        offer(&mut lossy, 20_000, 10, Duration::from_micros(1));
        sum += lossy.counts();
    }
    sum
}

#[test]
fn independent_loss_has_its_share_and_no_memory() {
    for percent in [1.0, 5.0, 20.0] {
        let counts = pooled(&Conditions::new().loss(percent));
        assert!((counts.loss_percent() / percent - 1.0).abs() < 0.05, "{percent}: {counts:?}");
        // The mean run of a memoryless loss is 1 / (1 - p).
        let run = 1.0 / (1.0 - percent / 100.0);
        assert!((counts.burst_mean() / run - 1.0).abs() < 0.02, "{percent}: {counts:?}");
    }
}

#[test]
fn bursts_have_their_share_and_their_length() {
    for (percent, burst) in [(2.0, 8.0), (10.0, 3.0), (30.0, 20.0)] {
        let counts = pooled(&Conditions::new().loss(percent).burst(burst));
        assert!((counts.loss_percent() / percent - 1.0).abs() < 0.1, "{percent} {burst}: {counts:?}");
        assert!((counts.burst_mean() / burst - 1.0).abs() < 0.1, "{percent} {burst}: {counts:?}");
    }
}

#[test]
fn chosen_packets_are_lost_and_no_others() {
    let said = Conditions::new().drop([3, 7]).drop_bitmap("1000010");
    let mut chosen = pipe(1, &said);
    chosen.drop_if(|number, packet| number == 9 && packet.payload.len() == 10);
    let exits = offer(&mut chosen, 12, 10, ms(1));
    let lost: Vec<_> = exits.iter().filter(|exit| exit.fate == Fate::Lost).map(|exit| exit.number).collect();
    assert_eq!(lost, [1, 3, 6, 7, 9]);
    assert!(!said.is_random());
}

#[test]
fn a_fault_taken_away_leaves_the_others_where_they_were() {
    let everything = Conditions::new()
        .loss(10.0)
        .duplicate(5.0)
        .corrupt(5.0)
        .jitter(ms(3))
        .reorder(5.0, ms(9))
        .rate(10_000_000);
    let run = |conditions: &Conditions| fates(&offer(&mut pipe(7, conditions), 5_000, 100, ms(1)));
    let all = run(&everything);
    let without = run(&everything.clone().duplicate(0.0).jitter(ms(0)).reorder(0.0, ms(0)).unlimited());
    assert_eq!(all, without);
    let no_loss = run(&everything.clone().loss(0.0));
    let corrupted = |fates: &BTreeMap<u64, Fate>| -> Vec<u64> {
        fates.iter().filter(|(_, fate)| **fate == Fate::Corrupted).map(|(number, _)| *number).collect()
    };
    let seen_before: Vec<_> = corrupted(&no_loss).into_iter().filter(|n| all[n] != Fate::Lost).collect();
    assert_eq!(seen_before, corrupted(&all));
}

#[test]
fn jitter_spreads_and_keeps_the_order() {
    let mut shaky = pipe(3, &Conditions::new().delay(ms(20)).jitter(ms(10)));
    let exits = offer(&mut shaky, 10_000, 10, ms(2));
    let delay = |exit: &Exit| exit.at.since(Time::ZERO + ms(2) * (exit.number as u32 - 1));
    assert!(exits.is_sorted_by_key(|exit| exit.number));
    assert!(exits.iter().all(|exit| (ms(20)..=ms(30)).contains(&delay(exit))));
    let least = exits.iter().map(delay).min().unwrap();
    let most = exits.iter().map(delay).max().unwrap();
    assert!(least < ms(21) && most > ms(29), "{least:?} {most:?}");
    assert_eq!(shaky.counts().reordered, 0);
}

#[test]
fn reordering_holds_packets_back() {
    let mut mixed = pipe(3, &Conditions::new().delay(ms(20)).reorder(10.0, ms(5)));
    let exits = offer(&mut mixed, 10_000, 10, ms(1));
    let late =
        exits.iter().filter(|exit| exit.at.since(Time::from_millis(exit.number - 1)) == ms(25)).count();
    assert!((900..1_100).contains(&late), "{late}");
    let reordered = mixed.counts().reordered;
    assert!((late as u64 - 10..=late as u64).contains(&reordered), "{late} {reordered}");
}

#[test]
fn copies_and_flipped_bits_are_what_was_asked() {
    let mut noisy = pipe(5, &Conditions::new().duplicate(10.0).corrupt(20.0));
    let exits = offer(&mut noisy, 10_000, 64, ms(1));
    let counts = noisy.counts();
    assert!((900..1_100).contains(&counts.duplicated), "{counts:?}");
    assert!((1_850..2_150).contains(&counts.corrupted), "{counts:?}");
    assert_eq!(counts.delivered, 10_000 + counts.duplicated);
    for exit in &exits {
        let ones: u32 = exit.packet.payload.iter().map(|byte| byte.count_ones()).sum();
        let altered = exit.fate == Fate::Corrupted || (exit.fate == Fate::Duplicated && ones > 0);
        assert_eq!(ones, u32::from(altered), "{exit:?}");
    }
}

#[test]
fn a_rate_spaces_packets_and_a_full_queue_drops_the_last() {
    // 1 228 bytes at 1 228 000 bit/s take 8 ms each; ten of them fit.
    let slow = Conditions::new().rate(1_228_000).queue_bytes(12_280);
    let mut bottleneck = pipe(1, &slow);
    (0..15).for_each(|_| bottleneck.push(Time::ZERO, packet(1_200)));
    let exits = drain(&mut bottleneck);
    let (dropped, through): (Vec<_>, Vec<_>) = exits.iter().partition(|exit| exit.fate == Fate::QueueFull);
    assert_eq!(dropped.iter().map(|exit| exit.number).collect::<Vec<_>>(), [11, 12, 13, 14, 15]);
    assert!(through.iter().all(|exit| exit.at == Time::from_millis(8 * exit.number)));
    assert_eq!(bottleneck.counts().queue_bytes_max, 12_280);
}

#[test]
fn a_change_of_rate_keeps_what_is_already_through() {
    let mut bottleneck = pipe(1, &Conditions::new().rate(1_228_000));
    bottleneck.change_at(Time::from_millis(4), Conditions::new().rate(614_000)).unwrap();
    bottleneck.change_at(Time::from_millis(8), Conditions::new().stall(true)).unwrap();
    bottleneck.change_at(Time::from_millis(20), Conditions::new().stall(false)).unwrap();
    bottleneck.push(Time::ZERO, packet(1_200));
    // Half of it in 4 ms, a quarter in the next 4 ms, nothing for 12 ms, the last quarter in 4 ms.
    let exits = drain(&mut bottleneck);
    assert_eq!(exits[0].at, Time::from_millis(24));
}

#[test]
fn a_stall_loses_nothing_and_a_black_hole_everything() {
    let mut pipe = pipe(1, &Conditions::new().delay(ms(10)));
    pipe.change_at(Time::from_millis(100), Conditions::new().stall(true)).unwrap();
    pipe.change_at(Time::from_millis(200), Conditions::new().stall(false)).unwrap();
    pipe.change_at(Time::from_millis(300), Conditions::new().block(true)).unwrap();
    pipe.change_at(Time::from_millis(400), Conditions::new().block(false)).unwrap();
    let exits = offer(&mut pipe, 50, 100, ms(10));
    let counts = pipe.counts();
    assert_eq!((counts.blocked, counts.delivered, exits.len()), (10, 40, 50));
    let stalled = exits.iter().filter(|exit| exit.at == Time::from_millis(210)).count();
    assert_eq!(stalled, 11, "those of the stall and the one after it arrive together");
}

#[test]
fn a_packet_larger_than_the_mtu_vanishes() {
    let mut narrow = pipe(1, &Conditions::new().mtu(1_280));
    [1_252, 1_253].into_iter().for_each(|len| narrow.push(Time::ZERO, packet(len)));
    let fates: Vec<_> = drain(&mut narrow).iter().map(|exit| exit.fate).collect();
    assert_eq!(fates, [Fate::Delivered, Fate::TooBig]);
}

#[test]
fn a_trace_is_replayed() {
    // One packet of 1500 bytes at 3, 3 and 10 ms, and so on every 10 ms.
    let trace = CapacityTrace::parse("3\n3\n10").unwrap();
    let mut replay = pipe(1, &Conditions::new().trace(trace));
    (0..7).for_each(|_| replay.push(Time::ZERO, packet(1_472)));
    let millis: Vec<_> = drain(&mut replay).iter().map(|exit| exit.at.as_nanos() / 1_000_000).collect();
    assert_eq!(millis, [3, 3, 10, 13, 13, 20, 23]);
    // Small packets that wait share an opportunity; who comes too late does not.
    replay.push(Time::from_millis(31), packet(722));
    replay.push(Time::from_millis(31), packet(722));
    replay.push(Time::from_millis(31), packet(722));
    let millis: Vec<_> = drain(&mut replay).iter().map(|exit| exit.at.as_nanos() / 1_000_000).collect();
    assert_eq!(millis, [33, 33, 33]);
    replay.push(Time::from_millis(34), packet(722));
    assert_eq!(drain(&mut replay)[0].at, Time::from_millis(40));
}

#[test]
fn impossible_conditions_are_refused() {
    let trace = CapacityTrace::parse("1").unwrap();
    for (conditions, says) in [
        (Conditions::new().loss(140.0), "loss = 140 %"),
        (Conditions::new().corrupt(-1.0), "corrupt = -1 %"),
        (Conditions::new().duplicate(f64::NAN), "duplicate = NaN %"),
        (Conditions::new().loss(50.0).burst(0.5), "burst = 0.5"),
        (Conditions::new().loss(90.0).burst(2.0), "at least 9.00 packets"),
        (Conditions::new().loss(100.0).burst(2.0), "say block instead"),
        (Conditions::new().rate(0), "lets nothing through"),
        (Conditions::new().mtu(60), "mtu = 60"),
        (Conditions::new().queue_bytes(10), "queue-bytes = 10"),
        (Conditions::new().drop_bitmap("01x"), "may contain only 0 and 1"),
        (Conditions::new().drop([0]), "numbered from 1"),
        (Conditions::new().reorder(5.0, ms(0)), "reorder-by"),
        (toml::from_str("rate = '1 Mbit/s'\ntrace = [1]").unwrap(), "exclude each other"),
    ] {
        let error = Pipe::new("x", 1, &conditions).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let mut good = pipe(1, &Conditions::new().loss(90.0).trace(trace));
    assert!(good.change(Time::ZERO, &Conditions::new().burst(2.0)).is_err());
    assert_eq!(good.conditions(), &Conditions::new().loss(90.0).trace(CapacityTrace::parse("1").unwrap()));
}

#[test]
fn undoing_a_change_goes_back_to_what_was_said() {
    let base = Conditions::new().loss(2.0).rate(1_000_000);
    let change = Conditions::new().loss(50.0).block(true).unlimited().delay(ms(5));
    let undone = base.clone().and(&change).and(&base.undoing(&change));
    assert_eq!(undone, base.block(false).delay(ms(0)));
}

#[cfg(feature = "proxy")]
#[test]
fn a_direction_without_a_memory_counts_and_remembers_nothing() {
    let blocked = Conditions::new().block(true);
    let mut pipe = Pipe::new("up", 1, &blocked).unwrap().without_memory();
    for number in 0..1_000 {
        pipe.push(Time::from_millis(number), packet(10));
        pipe.change(Time::from_millis(number), &blocked).unwrap();
    }
    assert_eq!((pipe.taken(), pipe.phases().len(), pipe.last_offered()), (&[][..], 0, None));
    while pipe.pop(Time::from_millis(1_000)).is_some() {}
    assert_eq!(pipe.counts().blocked, 1_000);
}
