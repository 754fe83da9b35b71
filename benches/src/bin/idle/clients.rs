//! All the clients.

use std::net::SocketAddr;

use bowline::{Endpoint, Fingerprint, Identity, Trust};

use crate::{Cli, Problem, config};

/// Dials in progress at once: fewer than a server lets wait.
const AT_ONCE: usize = 64;

pub(crate) async fn run(cli: &Cli, addr: SocketAddr, fingerprint: Fingerprint) -> Result<(), Problem> {
    let endpoint = Endpoint::client(Identity::generate()?, config(cli))?;
    let mut sessions = Vec::new();
    while sessions.len() < cli.clients as usize {
        let missing = cli.clients as usize - sessions.len();
        let dials: Vec<_> = (0..missing.min(AT_ONCE))
            .map(|_| {
                let endpoint = endpoint.clone();
                tokio::spawn(async move { endpoint.connect(addr, Trust::fingerprint(fingerprint)).await })
            })
            .collect();
        for dial in dials {
            sessions.push(dial.await??);
        }
    }
    // The server ends this process.
    std::future::pending().await
}
