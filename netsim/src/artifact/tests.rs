//! The files are read back by the libraries that read such files.

use std::collections::BTreeMap;
use std::time::Duration;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_file::pcapng::{Block, PcapNgReader};
use serde_json::Value;

use super::*;
use crate::link::Conditions;
use crate::quic::{Run, Summary, Workload};
use crate::scenario::{NatStep, Scenario, Step};
use crate::{Fate, NatConfig};

fn summary(six: bool) -> Summary {
    let noisy = Conditions::new().delay(Duration::from_millis(20)).loss(3.0).duplicate(3.0).corrupt(3.0);
    let scenario = Scenario::new("noisy", Duration::from_secs(6))
        .both(noisy)
        .nat(NatConfig::linux())
        .step(Step::at(Duration::from_secs(3)).nat(NatStep::RebindPorts));
    let scenario = if six { scenario.ipv6() } else { scenario };
    Run::new(&scenario).workload(Workload::Flow).capture().run().unwrap()
}

#[test]
fn a_capture_has_every_packet_with_valid_checksums_and_its_fate() {
    for six in [false, true] {
        let summary = summary(six);
        let mut file = Vec::new();
        write_capture(&summary.capture, &mut file).unwrap();
        let mut reader = PcapNgReader::new(file.as_slice()).unwrap();
        let (mut fates, mut last) = (BTreeMap::new(), Duration::ZERO);
        while let Some(block) = reader.next_block() {
            let Block::EnhancedPacket(block) = block.unwrap() else { continue };
            assert!(block.timestamp >= last && block.original_len as usize == block.data.len());
            last = block.timestamp;
            assert_valid(&block.data, six);
            *fates.entry(format!("{:?}", block.options)).or_insert(0) += 1;
        }
        assert_eq!(reader.interfaces().len(), 3);
        let expected = summary
            .trace
            .fates()
            .iter()
            .map(|(fate, count)| (format!("[Comment({:?})]", fate.name()), *count));
        assert_eq!(fates, expected.collect());
        assert!(
            [Fate::Lost, Fate::Corrupted, Fate::Duplicated].iter().all(|it| summary.trace.fates()[it] > 5)
        );
    }
}

#[track_caller]
fn assert_valid(data: &[u8], six: bool) {
    let packet = SlicedPacket::from_ip(data).unwrap();
    let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("it is no UDP") };
    let header = udp.to_header();
    let checksum = match packet.net.unwrap() {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header().to_header();
            assert_eq!((six, ip.header_checksum), (false, ip.calc_header_checksum()));
            header.calc_checksum_ipv4(&ip, udp.payload())
        }
        NetSlice::Ipv6(ip) => {
            assert!(six);
            header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
        }
        NetSlice::Arp(_) => panic!("it is no IP"),
    };
    assert_eq!(checksum.unwrap(), header.checksum);
}

#[test]
fn events_are_lines_in_order_of_time() {
    let summary = summary(false);
    let mut text = Vec::new();
    write_events(&summary, &mut text).unwrap();
    let lines: Vec<Value> =
        text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(lines.len() as u64, summary.trace.count() + 1);
    assert!(lines.is_sorted_by_key(|line| line["at_ns"].as_u64()));
    let nat: Vec<_> = lines.iter().filter(|line| line["event"] == "nat").collect();
    assert_eq!((nat.len(), &nat[0]["at_ns"], &nat[0]["mappings"]), (1, &3_000_000_000_u64.into(), &1.into()));
    let lost = lines.iter().filter(|line| line["fate"] == "lost").count() as u64;
    assert_eq!(lost, summary.trace.fates()[&Fate::Lost]);
    let mut changes = Vec::new();
    write_changes(&summary, &mut changes).unwrap();
    assert_eq!(changes.iter().filter(|byte| **byte == b'\n').count(), 1);
}
