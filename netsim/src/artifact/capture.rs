//! Packets as pcapng.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;

use etherparse::{IpEcn, IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, Endianness, PcapError};

use crate::packet::{Ecn, Fate, Packet};
use crate::trace::Capture;

/// The interfaces of the file: where a packet was seen.
const INTERFACES: [&str; 3] = ["sent", "arrived", "missing"];

/// Hops that a packet may still go: what Linux begins with.
const TTL: u8 = 64;

/// Writes the packets of a run in pcapng, which Wireshark opens: IPv4 and IPv6 without a link layer, time in
/// nanoseconds since the start, and what happened to a packet as its comment.
///
/// The file has three interfaces: `sent` has packets as hosts sent them, `arrived` as they came out at the other
/// end (or, damaged or doubled, out of a link), `missing` as they were where they were lost. A NAT rewrites
/// addresses on the way, so that the same packet looks different in them. The filter for one of them is
/// `frame.interface_name == "missing"`.
pub fn write_capture(capture: &Capture, out: impl Write) -> io::Result<()> {
    let mut file = PcapNgWriter::with_endianness(out, Endianness::Little).map_err(io_error)?;
    for name in INTERFACES {
        let mut interface = InterfaceDescriptionBlock::new(DataLink::RAW, 0);
        interface.options.push(InterfaceDescriptionOption::IfName(name.into()));
        // Nanoseconds.
        interface.options.push(InterfaceDescriptionOption::IfTsResol(9));
        file.write_pcapng_block(interface).map_err(io_error)?;
    }
    let mut packets: Vec<_> = capture.packets().iter().collect();
    packets.sort_by_key(|(at, ..)| *at);
    for (at, packet, fate) in packets {
        let data = on_the_wire(packet)?;
        let block = EnhancedPacketBlock {
            interface_id: interface(*fate),
            timestamp: at.since_start(),
            original_len: data.len() as u32,
            data: Cow::Owned(data),
            options: vec![EnhancedPacketOption::Comment(fate.name().into())],
        };
        file.write_pcapng_block(block).map_err(io_error)?;
    }
    file.into_inner().flush()
}

fn interface(fate: Fate) -> u32 {
    match fate {
        Fate::Sent => 0,
        fate if fate.arrives() => 1,
        _ => 2,
    }
}

/// The IP packet, with its checksums.
fn on_the_wire(packet: &Packet) -> io::Result<Vec<u8>> {
    let too_long =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let ip = match (packet.from.ip(), packet.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = Ipv4Header::new(0, TTL, IpNumber::UDP, from.octets(), to.octets())
                .map_err(|error| too_long(&error))?;
            header.ecn = IpEcn::try_new(ecn_bits(packet.ecn)).map_err(|error| too_long(&error))?;
            IpHeaders::Ipv4(header, Default::default())
        }
        (from, to) => IpHeaders::Ipv6(
            Ipv6Header {
                traffic_class: ecn_bits(packet.ecn),
                next_header: IpNumber::UDP,
                hop_limit: TTL,
                source: six(from),
                destination: six(to),
                ..Default::default()
            },
            Default::default(),
        ),
    };
    let mut data = Vec::with_capacity(packet.wire_len());
    PacketBuilder::ip(ip)
        .udp(packet.from.port(), packet.to.port())
        .write(&mut data, &packet.payload)
        .map_err(|error| too_long(&error))?;
    Ok(data)
}

fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => six.octets(),
    }
}

/// The two bits of the header (RFC 3168, section 5).
fn ecn_bits(ecn: Ecn) -> u8 {
    match ecn {
        Ecn::NotEct => 0b00,
        Ecn::Ect1 => 0b01,
        Ecn::Ect0 => 0b10,
        Ecn::Ce => 0b11,
    }
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
