//! The network between the two: a proxy in this process, with a NAT, through which every packet goes.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bowline_netsim::Conditions;
use bowline_netsim::proxy::{Event, Events, Options, Proxy, Side, Status};

/// How long every packet travels, one way.
pub(super) const DELAY: Duration = Duration::from_millis(20);

/// What the weather does to the packets of each direction, in per cent.
pub(super) const LOSS_PERCENT: f64 = 15.0;
pub(super) const REORDER_PERCENT: f64 = 25.0;

/// By how much the packets that are overtaken are late.
pub(super) const REORDER_BY: Duration = Duration::from_millis(15);

/// How long the network is dark.
pub(super) const DARK: Duration = Duration::from_secs(5);

/// What can befall the network.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Packets are lost and overtake each other, from now on.
    Weather,
    /// The NAT gives Bob another port.
    Rebinding,
    /// Nothing gets through, for [`DARK`].
    Blackout,
    /// None of it any more.
    Over,
}

/// A network that does what it is told, and tells what happened.
pub(super) struct Network {
    proxy: Proxy,
    events: Events,
    /// Packets that had come before it began to rain.
    dry: u64,
}

impl Network {
    /// Before a listener, far enough from it that something can happen on the way.
    pub(super) async fn before(listener: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let proxy = Proxy::bind((Ipv4Addr::LOCALHOST, 0).into(), listener, Options::new()).await?;
        proxy.set_delay(Side::Both, DELAY)?;
        let events = proxy.events();
        Ok(Self { proxy, events, dry: 0 })
    }

    /// Whom to dial.
    pub(super) fn addr(&self) -> SocketAddr {
        self.proxy.addr()
    }

    /// The listener.
    pub(super) fn upstream(&self) -> SocketAddr {
        self.proxy.upstream()
    }

    pub(super) fn befall(&mut self, fault: Fault) -> Result<(), Box<dyn Error>> {
        match fault {
            Fault::Weather => {
                let weather = Conditions::new().loss(LOSS_PERCENT).reorder(REORDER_PERCENT, REORDER_BY);
                self.proxy.set(Side::Both, &weather)?;
                self.dry = Figures::from(&self.proxy.status()).packets;
            }
            Fault::Rebinding => _ = self.proxy.rebind(),
            Fault::Blackout => self.proxy.block(Side::Both, Some(DARK)),
            Fault::Over => self.proxy.reset()?,
        }
        Ok(())
    }

    /// What happens next to the network. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Event, &'static str> {
        self.events.next().await.map(|happened| happened.event).ok_or("the network ended")
    }

    /// Ends it, and says what it did.
    pub(super) async fn end(self) -> Figures {
        Figures { dry: self.dry, ..Figures::from(&self.proxy.stop().await) }
    }
}

/// What really befell the packets of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) packets: u64,
    /// Those that came before it began to rain.
    pub(super) dry: u64,
    /// Taken by the weather.
    pub(super) lost: u64,
    /// Came out after one that came in later.
    pub(super) reordered: u64,
    /// Met the dark.
    pub(super) blocked: u64,
    /// Met a port that the NAT had closed.
    pub(super) unmapped: u64,
    pub(super) rebinds: u64,
}

impl From<&Status> for Figures {
    fn from(status: &Status) -> Self {
        let both =
            |count: fn(&bowline_netsim::proxy::Traffic) -> u64| count(&status.up) + count(&status.down);
        Self {
            packets: both(|way| way.packets_in),
            dry: 0,
            lost: both(|way| way.dropped.lost),
            reordered: both(|way| way.reordered),
            blocked: both(|way| way.dropped.blocked),
            unmapped: both(|way| way.dropped.nat_unmapped),
            rebinds: status.rebinds,
        }
    }
}

impl Figures {
    /// Packets that did not get through, whatever the cause.
    pub(super) fn dropped(&self) -> u64 {
        self.lost + self.blocked + self.unmapped
    }

    /// What the rain took of the packets that it fell on, in per cent.
    pub(super) fn loss_percent(&self) -> f64 {
        let wet = self.packets.saturating_sub(self.dry + self.blocked + self.unmapped);
        if wet == 0 { 0.0 } else { self.lost as f64 * 100.0 / wet as f64 }
    }

    /// A network that did no harm proves nothing.
    pub(super) fn require_faults(&self) -> Result<(), String> {
        let faults = [
            ("lost", self.lost),
            ("reordered", self.reordered),
            ("swallowed by the dark", self.blocked),
            ("rebound", self.rebinds),
        ];
        match faults.into_iter().find(|(_, count)| *count == 0) {
            Some((fault, _)) => Err(format!("the network was too kind: nothing was {fault}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_counts_only_what_the_rain_fell_on() {
        let figures =
            Figures { packets: 200, dry: 50, lost: 15, blocked: 40, unmapped: 10, ..Figures::default() };
        assert_eq!((figures.dropped(), figures.loss_percent()), (65, 15.0));
        assert_eq!(Figures::default().loss_percent(), 0.0);
    }

    #[test]
    fn a_network_that_did_no_harm_is_an_error() {
        let all = Figures { lost: 1, reordered: 1, blocked: 1, rebinds: 1, ..Figures::default() };
        assert_eq!(all.require_faults(), Ok(()));
        for kind in [
            Figures { lost: 0, ..all },
            Figures { reordered: 0, ..all },
            Figures { blocked: 0, ..all },
            Figures { rebinds: 0, ..all },
        ] {
            assert!(kind.require_faults().is_err_and(|error| error.contains("too kind")));
        }
    }
}
