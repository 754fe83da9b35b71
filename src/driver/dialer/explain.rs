//! What went wrong, in the words of this crate's errors.

use std::net::SocketAddr;
use std::time::Duration;

use quinn::{ConnectionError, TransportErrorCode};

use crate::driver::link;
use crate::error::{CloseCode, CloseReason, ConnectError, Side};
use crate::protocol::types::LinkEnd;
use crate::tls::{HandshakeProblem, Presented};

/// Why a handshake failed.
pub(super) fn explain(presented: &Presented, error: &ConnectionError, addr: SocketAddr) -> ConnectError {
    explain_problem(presented.explain(error), error, addr)
}

/// Why a connection was lost whose handshake seemed complete: the acceptor judges the dialer's certificate after that.
pub(crate) fn explain_loss(error: &ConnectionError, addr: SocketAddr) -> ConnectError {
    explain_problem(HandshakeProblem::of(error), error, addr)
}

fn explain_problem(
    problem: Option<HandshakeProblem>,
    error: &ConnectionError,
    addr: SocketAddr,
) -> ConnectError {
    let tls = |reason: &str| ConnectError::Tls { addr, reason: reason.to_owned() };
    match problem {
        Some(HandshakeProblem::WrongFingerprint(wrong)) => {
            let expected: Vec<_> = wrong.expected.iter().map(ToString::to_string).collect();
            let expected = if expected.is_empty() { "none".to_owned() } else { expected.join(" or ") };
            ConnectError::WrongFingerprint { expected, presented: wrong.presented.to_string() }
        }
        Some(HandshakeProblem::PeerRefused { reason }) => tls(&reason),
        Some(HandshakeProblem::IdentityDemanded) => tls("the peer demands a certificate, and none was shown"),
        Some(HandshakeProblem::IdentityRefused) => tls("the peer does not accept this side's certificate"),
        Some(HandshakeProblem::NoCommonProtocol) => ConnectError::WrongProtocol { addr },
        None => explain_connection(error, addr),
    }
}

fn explain_connection(error: &ConnectionError, addr: SocketAddr) -> ConnectError {
    let refused = |code, reason| {
        let retry = matches!(code, CloseCode::Busy | CloseCode::Expired | CloseCode::Dropped);
        ConnectError::Refused(CloseReason { code, side: Side::Remote, clean: false, retry, reason })
    };
    if let LinkEnd::Closed { code, reason } = link::end_of(error) {
        return refused(code, reason);
    }
    match error {
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            refused(CloseCode::Busy, "it takes no connections now".to_owned())
        }
        ConnectionError::VersionMismatch => ConnectError::WrongProtocol { addr },
        ConnectionError::TimedOut => ConnectError::Unreachable { addrs: vec![addr], waited: Duration::ZERO },
        other => ConnectError::Failed { addr, reason: link::words_of(other) },
    }
}
