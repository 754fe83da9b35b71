//! The scenarios that come with this crate.
//!
//! A figure without a source is a choice, not a measurement.

use std::time::Duration;

use super::{Access, NatStep, Scenario, Step};
use crate::link::Conditions;
use crate::nat::{Dependence, NatConfig, Refresh};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn link(delay: u64, jitter: u64) -> Conditions {
    Conditions::new().delay(ms(delay)).jitter(ms(jitter))
}

fn blocked() -> Conditions {
    Conditions::new().block(true)
}

/// Each outside port is drawn, each remote has its own: the "symmetric" NAT.
fn symmetric() -> NatConfig {
    NatConfig::linux().mapping(Dependence::AddressAndPortDependent).preserve_ports(false)
}

impl Scenario {
    /// All scenarios that have a name here.
    pub fn all() -> Vec<Self> {
        vec![
            Self::wifi(),
            Self::mobile(),
            Self::wifi_to_lte(),
            Self::elevator(),
            Self::subway(),
            Self::cgn_30s(),
            Self::super_sim(),
            Self::symmetric_rebind(),
            Self::leo(),
            Self::geo(),
            Self::cell_edge(),
            Self::wifi_fade(),
            Self::wifi_suspend(),
            Self::vpn_mtu(),
            Self::udp_blocked(),
            Self::swizzle_clog(),
        ]
    }

    /// Wi-Fi at home: 8 ms and up to 6 ms more each way, 0.5 % loss, 1 % out of order, 50 Mbit/s, a Linux NAT.
    pub fn wifi() -> Self {
        let air = link(8, 6).loss(0.5).reorder(1.0, ms(4)).rate(50_000_000);
        Self::new("wifi", secs(60))
            .summary("Wi-Fi at home: short, a little loss, a little disorder")
            .source("chosen figures; NAT timers of Linux (nf_conntrack_udp_timeout 30 s, _stream 120 s)")
            .both(air)
            .nat(NatConfig::linux())
    }

    /// A phone in LTE: 30 ms and up to 20 ms more each way, 1 % loss, 10 Mbit/s up and 30 down with a deep queue,
    /// behind a carrier's NAT.
    pub fn mobile() -> Self {
        Self::new("mobile", secs(60))
            .summary("LTE on the move: longer, jittery, with a deep queue")
            .source("chosen figures")
            .both(link(30, 20).loss(1.0).queue_bytes(500_000))
            .up(Conditions::new().rate(10_000_000))
            .down(Conditions::new().rate(30_000_000))
            .nat(NatConfig::linux().preserve_ports(false))
    }

    /// Out of the door: Wi-Fi is gone after 15 s, and 0.5 to 5 s later the phone is in LTE with another address.
    pub fn wifi_to_lte() -> Self {
        let lte = Access::new().both(link(30, 10).loss(0.5)).nat(NatConfig::linux().preserve_ports(false));
        Self::new("wifi-to-lte", secs(60))
            .summary("Out of the door: Wi-Fi goes, LTE comes 0.5 to 5 s later, with another address")
            .source("chosen figures")
            .both(link(8, 4).loss(0.5))
            .nat(NatConfig::linux())
            .other(lte)
            .step(Step::at(secs(15)).move_after(ms(500), secs(5)))
    }

    /// A lift: after 10 s nothing for 20 to 90 s; when it opens, the NAT gives another port.
    pub fn elevator() -> Self {
        Self::new("elevator", secs(150))
            .summary("A lift: nothing for 20 to 90 s, then another port")
            .source("chosen figures")
            .both(link(25, 5))
            .nat(NatConfig::linux())
            .step(
                Step::at(secs(10))
                    .lasting_between(secs(20), secs(90))
                    .both(blocked())
                    .nat(NatStep::RebindPorts),
            )
    }

    /// Between stations: 3 s of nothing in every 30 s, 2 % loss.
    pub fn subway() -> Self {
        Self::new("subway", secs(120))
            .summary("Under the city: 3 s of nothing in every 30 s, 2 % loss")
            .source("chosen figures")
            .both(link(35, 15).loss(2.0))
            .nat(NatConfig::linux())
            .step(Step::at(secs(20)).lasting(secs(3)).every(secs(30)).both(blocked()))
    }

    /// A carrier's NAT that forgets after 30 s, refreshed from inside only, behind the NAT at home. RFC 9308
    /// (section 3.2) warns of such timers, RFC 4787 forbids them (REQ-5: 2 minutes); deployed in Linux's
    /// default for unanswered flows.
    pub fn cgn_30s() -> Self {
        let carrier = NatConfig::new()
            .filtering(Dependence::AddressAndPortDependent)
            .timeout(secs(30))
            .refresh(Refresh::Outbound)
            .preserve_ports(false);
        Self::new("cgn-30s", secs(180))
            .summary("A carrier's NAT that forgets after 30 s, behind the one at home")
            .source("30 s: RFC 9308, section 3.2; RFC 4787 REQ-5 would have 2 min")
            .both(link(20, 0))
            .nat(NatConfig::linux())
            .nat(carrier)
            .silence(secs(35))
    }

    /// A SIM for devices: 30 s, and for streams only 12 s, as Twilio documents for its Super SIM.
    pub fn super_sim() -> Self {
        let carrier = NatConfig::linux().unreplied_timeout(secs(30)).timeout(secs(12)).preserve_ports(false);
        Self::new("super-sim", secs(120))
            .summary("A SIM for devices, whose NAT forgets streams after 12 s")
            .source("Twilio Super SIM: 30 s unreplied, 12 s stream")
            .both(link(50, 0))
            .nat(carrier)
            .silence(secs(33))
    }

    /// A symmetric NAT that gives every flow another port each 20 s.
    pub fn symmetric_rebind() -> Self {
        Self::new("symmetric-rebind", secs(60))
            .summary("A symmetric NAT that gives every flow another port each 20 s")
            .source("chosen figures")
            .both(link(20, 0))
            .nat(symmetric())
            .step(Step::at(secs(10)).every(secs(20)).nat(NatStep::RebindPorts))
    }

    /// Satellites in low orbit: every 15 s the terminal is given another satellite, and 100 ms nothing moves.
    pub fn leo() -> Self {
        let stalled = Conditions::new().stall(true);
        Self::new("leo", secs(60))
            .summary("Satellites in low orbit: a stall of 100 ms every 15 s")
            .source("15 s: Mohan and others, A Multifaceted Look at Starlink Performance, WWW 2024; 100 ms chosen")
            .both(link(25, 0).rate(100_000_000).queue_bytes(1_000_000))
            .step(Step::at(secs(12)).lasting(ms(100)).every(secs(15)).both(stalled))
    }

    /// A satellite in geostationary orbit: 300 ms each way (RFC 2488, section 2, has 239.6 ms of propagation).
    pub fn geo() -> Self {
        Self::new("geo", secs(60))
            .summary("A geostationary satellite: 600 ms there and back")
            .source("RFC 2488, section 2: 239.6 ms up and down again, and the rest for the ground")
            .both(link(300, 0).rate(10_000_000).queue_bytes(750_000))
    }

    /// The edge of a cell: 8 Mbit/s, 90 ms there and back, 2 % loss in bursts of 8 packets.
    pub fn cell_edge() -> Self {
        Self::new("cell-edge", secs(60))
            .summary("The edge of a cell: 8 Mbit/s, 90 ms, 2 % loss in bursts of 8")
            .source("chosen figures")
            .both(link(45, 0).loss(2.0).burst(8.0).rate(8_000_000))
            .nat(NatConfig::linux())
    }

    /// Walking away from the access point and back: the loss climbs to 40 % and falls again, the rate with it.
    pub fn wifi_fade() -> Self {
        let fade = |at, loss, rate| Step::at(secs(at)).both(Conditions::new().loss(loss).rate(rate));
        Self::new("wifi-fade", secs(60))
            .summary("Away from the access point and back: the loss climbs to 40 % and falls again")
            .source("chosen figures")
            .both(link(8, 4).loss(0.5).rate(50_000_000))
            .nat(NatConfig::linux())
            .step(fade(15, 5.0, 20_000_000))
            .step(fade(20, 15.0, 5_000_000))
            .step(fade(25, 40.0, 1_000_000))
            .step(fade(35, 15.0, 5_000_000))
            .step(fade(40, 0.5, 50_000_000))
    }

    /// A laptop that saves power: what is sent to it waits for every third beacon, 307.2 ms apart (IEEE 802.11:
    /// 102.4 ms between beacons), and the radio listens for 20 ms then.
    pub fn wifi_suspend() -> Self {
        let asleep = Conditions::new().stall(true);
        Self::new("wifi-suspend", secs(60))
            .summary("Power save: what arrives waits for every third beacon")
            .source("IEEE 802.11: beacons each 102.4 ms; a listen interval of 3 chosen")
            .both(link(8, 0))
            .nat(NatConfig::linux())
            .step(
                Step::at(secs(5))
                    .lasting(Duration::from_micros(287_200))
                    .every(Duration::from_micros(307_200))
                    .down(asleep),
            )
    }

    /// A VPN leaves 1420 of 1500 bytes (WireGuard's default), and after 30 s, on another way, 1300; what is
    /// larger vanishes.
    pub fn vpn_mtu() -> Self {
        Self::new("vpn-mtu", secs(60))
            .summary("A VPN: 1420 bytes pass, later only 1300, and nobody is told")
            .source("1420: WireGuard's default MTU; 1300 chosen")
            .both(link(20, 0).mtu(1420))
            .nat(NatConfig::linux())
            .step(Step::at(secs(30)).both(Conditions::new().mtu(1300)))
    }

    /// A network that lets no UDP through.
    pub fn udp_blocked() -> Self {
        Self::new("udp-blocked", secs(60))
            .summary("A network that lets no UDP through")
            .source("RFC 9308, section 2: 3 to 5 % of networks block UDP")
            .both(link(20, 0).block(true))
    }

    /// The two directions stop at drawn moments and come back in a drawn order, twice: FoundationDB's
    /// "swizzle-clogging", which found bugs for them that no other fault did.
    pub fn swizzle_clog() -> Self {
        let clog = |from, to| Step::between(secs(from), secs(to)).lasting_between(secs(2), secs(12));
        Self::new("swizzle-clog", secs(90))
            .summary("The directions stop one after the other and come back in any order")
            .source("FoundationDB's documentation, Simulation and Testing: swizzle-clogging")
            .both(link(20, 0))
            .nat(NatConfig::linux())
            .step(clog(10, 16).up(blocked()))
            .step(clog(10, 16).down(blocked()))
            .step(clog(45, 51).up(blocked()))
            .step(clog(45, 51).down(blocked()))
    }
}
