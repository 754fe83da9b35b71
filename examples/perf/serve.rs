//! `perf serve`: as many clients as come, until a signal says that it is enough.

use std::error::Error;
use std::time::Duration;

use bowline::{Config, Endpoint, Incoming};
use tokio::task::JoinSet;

use crate::cli::{ServeArgs, identity};
use crate::plan::SESSION_CHANNELS;
use crate::show::Show;
use crate::visit;

/// How long clients are told goodbye.
const FAREWELL: Duration = Duration::from_millis(500);

/// Runs the command to its end.
pub(crate) async fn serve(args: ServeArgs) -> Result<(), Box<dyn Error>> {
    let signal = ended()?;
    let identity = identity(args.identity.as_deref())?;
    let config = Config::default().max_channels(SESSION_CHANNELS);
    let endpoint = Endpoint::bind(args.addr, identity, config)?;
    let show = Show::new(args.json);
    show.listening(endpoint.local_addr()?, endpoint.fingerprint());
    let mut clients = JoinSet::new();
    let mut signal = std::pin::pin!(signal);
    loop {
        tokio::select! {
            () = &mut signal => break,
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => drop(clients.spawn(client(incoming, args.stall, show.clone()))),
                None => break,
            },
            Some(_) = clients.join_next() => {}
        }
    }
    endpoint.close("the server was stopped", FAREWELL).await;
    Ok(())
}

async fn client(incoming: Incoming, stall: Option<Duration>, show: Show) {
    // Who leaves before it is in has had no run.
    let Ok(session) = incoming.accept().await else { return };
    let mut events = session.events();
    let show = show.of(session.id());
    show.event("connected");
    let telling = async {
        while let Some(event) = events.next().await {
            show.session(&event);
        }
    };
    let serving = visit::serve(session, stall);
    let (served, ()) = tokio::join!(serving, telling);
    if let Err(error) = served {
        show.problem(&error.to_string());
    }
}

/// Waits for a signal to end.
fn ended() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
