//! The first exchange with one stranger: handshake, then Hello and judgement, or a lifetime probe.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Incoming};
use tokio::sync::oneshot;

use super::{Acceptor, AttachRequest, probed, turn_away};
use crate::driver::environment::Environment;
use crate::driver::link::{self, ControlError, ControlStream, Established, HELLOS_MAX};
use crate::driver::registry::{Parked, Parking, Slot, refuse};
use crate::error::CloseCode;
use crate::protocol::types::{Judgement, LinkInfo};
use crate::tls::PeerIdentity;
use crate::wire::{Control, Hello, Probe, Refuse, Retry};

/// Judgements of one Hello: what is judged may change while the application is asked.
const JUDGEMENTS_MAX: usize = 4;

/// How long a refusal may take to arrive before the connection is closed, which says the same.
const REFUSAL_MAX: Duration = Duration::from_millis(500);

/// A connection that comes to nothing.
enum Failure {
    /// It is gone, or closed already.
    Gone,
    Violation(String),
    /// Told on the control stream.
    Refused(Box<Established>, Refuse),
    TooManyTries,
}

/// Brings one connection to its session, to the application's queue, or to its end.
pub(super) async fn greet(acceptor: Arc<Acceptor>, incoming: Incoming, slot: Slot) {
    let env = acceptor.env.clone();
    let limit = env.config.handshake_timeout;
    let connection = match env.timeout(limit, shake_hands(incoming)).await {
        Some(Ok(connection)) => connection,
        Some(Err(error)) => return tracing::debug!(%error, "the handshake failed"),
        None => return tracing::debug!("the handshake took too long"),
    };
    let attach = async {
        tokio::select! {
            biased;
            attached = converse(&acceptor, &connection, slot) => attached,
            () = drop_datagrams(&env, &connection) => Err(Failure::Gone),
        }
    };
    match env.timeout(limit, attach).await {
        Some(Ok(())) => return,
        Some(Err(Failure::Gone)) => return tracing::debug!("the dialer left"),
        Some(Err(Failure::Refused(established, refuse))) => {
            tracing::debug!(code = refuse.code, reason = %refuse.reason, "refused");
            say_no(&env, established.connection, established.control, refuse).await;
        }
        Some(Err(Failure::Violation(what))) => {
            tracing::warn!(%what, "a stranger broke the protocol");
            link::close(&connection, CloseCode::ProtocolViolation, &what);
        }
        Some(Err(Failure::TooManyTries)) => {
            link::close(&connection, CloseCode::ProtocolViolation, "too many Hellos on one connection");
        }
        None => link::close(&connection, CloseCode::Busy, "it took too long to attach"),
    }
    acceptor.registry.count_refused();
}

/// Takes what a stranger says in datagrams, which is nothing to anybody: QUIC would keep it. Ends with the connection.
async fn drop_datagrams(env: &Environment, connection: &Connection) {
    while connection.read_datagram().await.is_ok() {
        env.count_dropped_datagrams(1);
    }
}

async fn shake_hands(incoming: Incoming) -> Result<Connection, quinn::ConnectionError> {
    incoming.accept()?.await
}

/// Everything from the handshake on.
async fn converse(acceptor: &Arc<Acceptor>, connection: &Connection, slot: Slot) -> Result<(), Failure> {
    if connection.max_datagram_size().is_none() {
        link::close(
            connection,
            CloseCode::NoDatagrams,
            "the heartbeat needs QUIC DATAGRAM frames (RFC 9221)",
        );
        return Err(Failure::Gone);
    }
    let peer = PeerIdentity::of_dialer(connection, &acceptor.client_auth);
    let info = LinkInfo {
        exporter: link::exporter(connection).map_err(Failure::Violation)?,
        binding: peer.as_ref().map(PeerIdentity::binding).unwrap_or_default(),
        credentials: bytes::Bytes::new(),
    };
    let streams = connection.accept_bi().await.map_err(|_| Failure::Gone)?;
    let mut established = Box::new(Established {
        link: acceptor.env.next_link(),
        connection: connection.clone(),
        socket: None,
        control: ControlStream::new(streams),
        info,
        peer,
    });
    let mut slot = Some(slot);
    while established.control.hellos < HELLOS_MAX {
        let hello = match next_ask(&mut established.control).await? {
            Ask::Hello(hello) => hello,
            Ask::Probe(probe) => return serve_probe(acceptor, established, probe),
        };
        established.control.hellos += 1;
        match consider(acceptor, established, hello, &mut slot).await? {
            None => return Ok(()),
            Some((again, retry)) => {
                established = again;
                let retry = Control::Retry(retry);
                established.control.send(&retry).await.map_err(|_| Failure::Gone)?;
            }
        }
    }
    Err(Failure::TooManyTries)
}

/// What a dialer may begin with.
enum Ask {
    Hello(Box<Hello>),
    Probe(Probe),
}

/// The next thing asked for. Nothing else is listened to before a Hello is accepted.
async fn next_ask(control: &mut ControlStream) -> Result<Ask, Failure> {
    loop {
        match control.next().await {
            Ok(Control::Hello(hello)) => return Ok(Ask::Hello(hello)),
            Ok(Control::Probe(probe)) => return Ok(Ask::Probe(probe)),
            Ok(_) => tracing::trace!("a frame before the Hello"),
            Err(ControlError::Lost) => return Err(Failure::Gone),
            Err(ControlError::Malformed(error)) => return Err(Failure::Violation(error.to_string())),
        }
    }
}

/// A connection that is to have no session gives its slot back, and lives under limits of its own (rule H6).
fn serve_probe(acceptor: &Acceptor, established: Box<Established>, probe: Probe) -> Result<(), Failure> {
    if established.control.hellos > 0 {
        return Err(Failure::Violation("a probe behind a Hello (rule H6)".to_owned()));
    }
    let registry = &acceptor.registry;
    let (remote, most) = (established.connection.remote_address(), acceptor.env.config.max_probes);
    let Some(place) = registry.probes.place(&established.info.binding, remote, most) else {
        let refuse = refuse(CloseCode::Busy, "no more lifetime probes are served now", true);
        return Err(Failure::Refused(established, refuse));
    };
    let Established { connection, control, .. } = *established;
    probed::serve(registry, connection, control, probe, place);
    Ok(())
}

/// Judges one Hello and does what follows from it. Some: the dialer may try again.
async fn consider(
    acceptor: &Arc<Acceptor>,
    mut established: Box<Established>,
    mut hello: Box<Hello>,
    slot: &mut Option<Slot>,
) -> Result<Option<(Box<Established>, Retry)>, Failure> {
    let registry = &acceptor.registry;
    let mut authorized = None;
    for _ in 0..JUDGEMENTS_MAX {
        let judgement = registry.table().admission.judge(&hello, &established.info, acceptor.env.now());
        let resuming = match judgement {
            Judgement::Retry(retry) => return Ok(Some((established, retry))),
            Judgement::Refuse(refuse) => return Err(Failure::Refused(established, refuse)),
            Judgement::Attach => true,
            Judgement::Create { .. } => false,
        };
        if authorized != Some(resuming) {
            if let Err(reason) = ask(acceptor, &established, &hello, resuming).await {
                let refuse = refuse(CloseCode::Unauthorized, &reason, false);
                return Err(Failure::Refused(established, refuse));
            }
            // What was true before the application was asked may not be any more.
            authorized = Some(resuming);
            continue;
        }
        if resuming {
            let Some(session) = registry.table().sessions.get(&hello.session).cloned() else { continue };
            match session.attach(established, Some(hello)) {
                Ok(()) => return Ok(None),
                Err((back, Some(same))) => (established, hello) = (back, same),
                Err((_, None)) => return Err(Failure::Gone),
            }
        } else {
            let Some(own) = slot.take() else { return Err(Failure::Gone) };
            return park(acceptor, *established, hello, own, slot);
        }
    }
    let refuse = refuse(CloseCode::Busy, "the session is being ended", true);
    Err(Failure::Refused(established, refuse))
}

/// Asks the application, if it wants to be asked.
async fn ask(
    acceptor: &Acceptor,
    established: &Established,
    hello: &Hello,
    resuming: bool,
) -> Result<(), String> {
    let Some(authorize) = &acceptor.authorize else { return Ok(()) };
    let request = AttachRequest {
        session: hello.session,
        peer: established.peer.clone(),
        remote: established.connection.remote_address(),
        credentials: hello.credentials.clone(),
        resuming,
    };
    (authorize.0)(request).await
}

/// Keeps a stranger until the application has decided, for so long as it may wait.
fn park(
    acceptor: &Arc<Acceptor>,
    established: Established,
    hello: Box<Hello>,
    own: Slot,
    slot: &mut Option<Slot>,
) -> Result<Option<(Box<Established>, Retry)>, Failure> {
    let (session, link, connection) = (hello.session, established.link, established.connection.clone());
    let (waits, decided) = oneshot::channel();
    let stranger = Parked { established, hello, slot: own, waits };
    match acceptor.registry.park(stranger) {
        Parking::Done(replaced) => {
            if let Some(replaced) = replaced {
                let connection = &replaced.established.connection;
                link::close(connection, CloseCode::Reattach, "the dialer came on another connection");
            }
        }
        Parking::Retry(stranger, retry) => {
            *slot = Some(stranger.slot);
            return Ok(Some((Box::new(stranger.established), retry)));
        }
        Parking::Refused(stranger, refuse) => {
            return Err(Failure::Refused(Box::new(stranger.established), refuse));
        }
    }
    let (env, registry) = (acceptor.env.clone(), acceptor.registry.clone());
    acceptor.env.spawn(async move {
        // One whose connection is gone stays all the same: the application may be about to look at it.
        let stays = async {
            drop_datagrams(&env, &connection).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            _ = decided => return,
            () = env.sleep(env.config.handshake_timeout) => {}
            () = stays => {}
        }
        if let Some(parked) = registry.unpark(session, Some(link)) {
            let refuse = refuse(CloseCode::Busy, "the application did not decide in time", true);
            turn_away(&registry, &parked.established.connection, &refuse);
        }
    });
    Ok(None)
}

/// Says no on the control stream, and by closing the connection: the close may arrive first.
async fn say_no(env: &Environment, connection: Connection, mut control: ControlStream, refuse: Refuse) {
    let (code, reason) = (CloseCode::from_value(refuse.code), refuse.reason.clone());
    let telling = async {
        if control.send(&Control::Refuse(refuse)).await.is_ok() {
            control.finish().await;
        }
    };
    env.timeout(REFUSAL_MAX, telling).await;
    link::close(&connection, code, &reason);
}
