//! Lifetime probes, on the accepting side (rule H6): connections without a session that are answered when they asked to be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::Connection;

use crate::driver::environment::lock;
use crate::driver::link::{self, ControlError, ControlStream};
use crate::driver::registry::Registry;
use crate::error::CloseCode;
use crate::wire::{Control, MAX_PROBE_MS, Probe};

/// Probes of one identity, or of one address without an identity, at once: four of a session, each with a connection beside
/// it when it fails.
const OF_ONE: usize = 8;

/// Questions on one connection.
const QUESTIONS: usize = 16;

/// All that a connection may take, beside its longest silence.
const WARMING: Duration = Duration::from_secs(60);

/// The probes that an endpoint serves.
#[derive(Default)]
pub(crate) struct Probes(Arc<Mutex<BTreeMap<Vec<u8>, usize>>>);

/// One of them.
pub(crate) struct Place {
    probes: Arc<Mutex<BTreeMap<Vec<u8>, usize>>>,
    whose: Vec<u8>,
}

impl Probes {
    /// Makes room for a probe of a peer with this binding, if there is any among `most`.
    pub(crate) fn place(&self, binding: &[u8], remote: SocketAddr, most: usize) -> Option<Place> {
        // A binding is never the text of an address.
        let whose = if binding.is_empty() { remote.ip().to_string().into_bytes() } else { binding.to_vec() };
        let mut probes = lock(&self.0);
        let (all, of_one) = (probes.values().sum::<usize>(), probes.get(&whose).copied().unwrap_or_default());
        if all >= most || of_one >= OF_ONE {
            return None;
        }
        probes.insert(whose.clone(), of_one + 1);
        Some(Place { probes: self.0.clone(), whose })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut probes = lock(&self.probes);
        match probes.get_mut(&self.whose) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = probes.remove(&self.whose),
        }
    }
}

/// Answers the questions of a connection until it is over, in the background. Nothing is kept of it then.
pub(super) fn serve(
    registry: &Arc<Registry>,
    connection: Connection,
    mut control: ControlStream,
    first: Probe,
    place: Place,
) {
    let env = registry.env.clone();
    let registry = registry.clone();
    let most = Duration::from_millis(MAX_PROBE_MS) + WARMING;
    registry.env.clone().spawn(async move {
        let _place = place;
        let ended = tokio::select! {
            biased;
            () = registry.deserted() => None,
            _ = connection.closed() => None,
            ended = env.timeout(most, answer(&registry, &mut control, first)) => ended,
        };
        match ended {
            Some(Err(what)) => link::close(&connection, CloseCode::ProtocolViolation, &what),
            Some(Ok(())) | None => link::close(&connection, CloseCode::Normal, "the probe is over"),
        }
    });
}

/// The error is the rule that the dialer broke.
async fn answer(registry: &Registry, control: &mut ControlStream, first: Probe) -> Result<(), String> {
    let env = &registry.env;
    let mut probe = first;
    for _ in 0..QUESTIONS {
        env.sleep(Duration::from_millis(probe.answer_after_ms)).await;
        if control.send(&Control::ProbeAnswer).await.is_err() {
            return Ok(());
        }
        probe = match env.timeout(env.config.handshake_timeout, control.next()).await {
            Some(Ok(Control::Probe(next))) => next,
            Some(Ok(_)) => return Err("a probe connection carries probes only (rule H6)".to_owned()),
            Some(Err(ControlError::Malformed(error))) => return Err(error.to_string()),
            Some(Err(ControlError::Lost)) | None => return Ok(()),
        };
    }
    Err(format!("more than {QUESTIONS} probes on one connection (rule H6)"))
}
