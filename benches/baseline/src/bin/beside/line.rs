//! The line between two peers, when it is not loopback.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use bowline_netsim::Conditions;
use bowline_netsim::proxy::{Options, Proxy, Side};
use tokio::sync::oneshot;

use crate::Problem;

/// Where to dial to reach `server` over a line of so many Mbit/s; directly if there is none. It lasts as long as the process.
pub(crate) fn to(server: SocketAddr, mbit_per_s: Option<u32>) -> Result<SocketAddr, Problem> {
    let Some(mbit_per_s) = mbit_per_s else { return Ok(server) };
    let rate = u64::from(mbit_per_s) * 1_000_000;
    let queue_bytes = rate / 8 / 100;
    let conditions = Conditions::new().delay(Duration::from_millis(20)).rate(rate).queue_bytes(queue_bytes);
    let (told, addr) = oneshot::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let proxy = Proxy::bind(([127, 0, 0, 1], 0).into(), server, Options::new()).await?;
            proxy.set(Side::Both, &conditions)?;
            told.send(proxy.addr()).map_err(|_| "nobody wants the line")?;
            std::future::pending::<Result<(), Problem>>().await
        })
    });
    addr.blocking_recv().map_err(|_| "the line could not be laid".into())
}
