//! Lifetime probes, on the dialing side (rule H6): connections that are silent for a while, to see whether a NAT still knows
//! them then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::dialer::Dialer;
use super::environment::{BoxFuture, Environment};
use super::link::{self, ControlError, Established};
use super::networks::{Claim, Networks};
use crate::error::{CloseCode, ConnectError};
use crate::protocol::heartbeat::probe_timeout;
use crate::protocol::types::{Finding, Lifetime, NetworkId};
use crate::wire::{Control, Probe};

/// How long a connection for a probe may take.
const DIAL: Duration = Duration::from_secs(10);

/// Exchanges before the silence, and the time between two: a NAT keeps a mapping for long only if it has seen an exchange
/// go on for more than two seconds.
const WARMING: usize = 4;
const WARMING_GAP: Duration = Duration::from_secs(1);

/// An answer that takes longer than this, or than five probe timeouts, does not come.
const GRACE: Duration = Duration::from_secs(3);
const GRACE_PTOS: u32 = 5;

/// What still leaves after the last question, because it was lost or must be acknowledged, leaves within this.
const CALM: Duration = Duration::from_secs(1);

/// Exchanges that another connection must have at once to show that the peer is there.
const CONFIRMATIONS: usize = 2;

/// The probes of a session that are under way.
#[derive(Default)]
pub(super) struct Probing {
    probes: Vec<(Duration, BoxFuture<Finding>)>,
    /// Held while more probes may follow.
    claim: Option<Claim>,
    /// When the session has last looked in which network it is.
    entered: Option<Instant>,
}

impl Probing {
    /// The session has looked in which network it is.
    pub(super) fn enter(&mut self, now: Instant) {
        self.entered = Some(now);
    }

    /// Makes the session the one that probes in this network. If another one does, or has come to an end: what that has
    /// found.
    pub(super) fn claim(&mut self, networks: &Networks, network: NetworkId) -> Result<(), Option<Lifetime>> {
        if self.claim.as_ref().is_some_and(|claim| claim.network == network) {
            return Ok(());
        }
        let news = self.entered.and_then(|entered| networks.recall_news(network, entered));
        self.claim = if news.is_none() { networks.claim(network) } else { None };
        if self.claim.is_some() { Ok(()) } else { Err(news) }
    }

    /// Lets other sessions probe in the network.
    pub(super) fn release(&mut self) {
        self.claim = None;
    }

    /// Begins a probe.
    pub(super) fn begin(
        &mut self,
        env: &Arc<Environment>,
        dialer: &Dialer,
        address: SocketAddr,
        silence: Duration,
    ) {
        let connect = || dialer.dial_probe(address, DIAL);
        self.probes.push((silence, Box::pin(measure(env.clone(), silence, connect(), connect()))));
    }

    /// Drops the probes with this silence and longer ones: their connections are closed.
    pub(super) fn stop(&mut self, from: Duration) {
        self.probes.retain(|(silence, _)| *silence < from);
    }

    /// The next finding.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Duration, Finding)> {
        for index in 0..self.probes.len() {
            let Some((silence, probe)) = self.probes.get_mut(index) else { break };
            if let Poll::Ready(finding) = probe.as_mut().poll(cx) {
                let silence = *silence;
                drop(self.probes.swap_remove(index));
                return Poll::Ready((silence, finding));
            }
        }
        Poll::Pending
    }
}

type Connecting = BoxFuture<Result<Established, ConnectError>>;

/// Why nothing can be said.
struct Nothing(Finding);

/// Is silent for `silence` on one connection, and if no answer comes then, asks the peer on another.
async fn measure(env: Arc<Environment>, silence: Duration, first: Connecting, second: Connecting) -> Finding {
    match survives(&env, silence, first).await {
        Ok(true) => Finding::Alive,
        // The old connection is gone by now: its packets would make a new mapping.
        Ok(false) => match answers(&env, second).await {
            Ok(()) => Finding::Dead,
            Err(Nothing(finding)) => finding,
        },
        Err(Nothing(finding)) => finding,
    }
}

async fn survives(env: &Environment, silence: Duration, connecting: Connecting) -> Result<bool, Nothing> {
    let mut probe = Asking::new(connecting.await)?;
    for _ in 0..WARMING {
        probe.ask(env, Duration::ZERO).await?;
        env.sleep(WARMING_GAP).await;
    }
    // The silence begins behind the last packet that can still follow from the question.
    probe.say(CALM + silence).await?;
    env.sleep(CALM).await;
    let sent = probe.sent();
    // The answer comes a round trip after that at the earliest.
    let early = env.timeout(silence.saturating_sub(probe.rtt() / 2), probe.answer()).await;
    if let Some(answer) = early {
        answer?;
        tracing::debug!(?silence, "the peer answered a probe too early");
        return Err(Nothing(Finding::Unclear));
    }
    if probe.sent() != sent {
        tracing::debug!(?silence, "a probe was not silent");
        return Err(Nothing(Finding::Unclear));
    }
    match env.timeout(probe.grace() + probe.rtt(), probe.answer()).await {
        Some(answer) => answer.map(|()| true),
        None => Ok(false),
    }
}

/// Whether the peer is there, and answers at once.
async fn answers(env: &Environment, connecting: Connecting) -> Result<(), Nothing> {
    let mut asking = Asking::new(connecting.await)?;
    for _ in 0..CONFIRMATIONS {
        asking.ask(env, Duration::ZERO).await?;
    }
    Ok(())
}

/// A connection on which questions are asked; closed when it is dropped.
struct Asking(Established);

impl Drop for Asking {
    fn drop(&mut self) {
        link::close(&self.0.connection, CloseCode::Normal, "the probe is over");
    }
}

impl Asking {
    fn new(connected: Result<Established, ConnectError>) -> Result<Self, Nothing> {
        connected.map(Self).map_err(|error| {
            tracing::debug!(%error, "no connection for a lifetime probe");
            Nothing(match error {
                ConnectError::Refused(_) => Finding::Refused,
                _ => Finding::Unclear,
            })
        })
    }

    /// Asks, and waits for the answer.
    async fn ask(&mut self, env: &Environment, silence: Duration) -> Result<(), Nothing> {
        self.say(silence).await?;
        match env.timeout(silence + self.grace(), self.answer()).await {
            Some(answer) => answer,
            // The connection was made, so the peer is there, and does not know what it is asked.
            None => Err(Nothing(Finding::Refused)),
        }
    }

    async fn say(&mut self, silence: Duration) -> Result<(), Nothing> {
        let answer_after_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        let said = self.0.control.send(&Control::Probe(Probe { answer_after_ms })).await;
        said.map_err(|_| self.lost())
    }

    async fn answer(&mut self) -> Result<(), Nothing> {
        loop {
            match self.0.control.next().await {
                Ok(Control::ProbeAnswer) => return Ok(()),
                Ok(Control::Refuse(refuse)) => {
                    tracing::debug!(reason = %refuse.reason, "the peer refuses a lifetime probe");
                    return Err(Nothing(Finding::Refused));
                }
                Ok(_) => {}
                Err(ControlError::Lost | ControlError::Malformed(_)) => return Err(self.lost()),
            }
        }
    }

    /// The connection is gone, or of no use any more.
    fn lost(&self) -> Nothing {
        let refused =
            matches!(self.0.connection.close_reason(), Some(quinn::ConnectionError::ApplicationClosed(_)));
        Nothing(if refused { Finding::Refused } else { Finding::Unclear })
    }

    fn rtt(&self) -> Duration {
        self.0.connection.rtt()
    }

    fn grace(&self) -> Duration {
        GRACE.max(GRACE_PTOS * probe_timeout(self.rtt()))
    }

    /// UDP datagrams sent so far.
    fn sent(&self) -> u64 {
        link::sample(&self.0.connection).datagrams_sent
    }
}
