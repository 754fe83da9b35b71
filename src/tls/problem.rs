//! What a failed handshake failed over, recovered from the words in which QUIC reports it.

use std::sync::{Arc, Mutex, PoisonError};

use quinn::ConnectionError;
use rustls::AlertDescription as Alert;

use super::fingerprint::WrongFingerprint;

/// Why a handshake failed, when it failed over who the peers are or what they speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeProblem {
    /// The acceptor proved a key other than the pinned one.
    WrongFingerprint(WrongFingerprint),
    /// The peer's certificate was refused here.
    PeerRefused {
        /// Why, in the words of the TLS library; of a wrong fingerprint, what was expected and what was presented.
        reason: String,
    },
    /// The peer demands a certificate, and none was shown.
    IdentityDemanded,
    /// The peer refused the certificate that was shown to it.
    IdentityRefused,
    /// The peers have no application protocol in common: the other end is no Bowline, or of another major version.
    NoCommonProtocol,
}

impl HandshakeProblem {
    /// Reads the reason out of what quinn says; none when the connection failed over something else.
    ///
    /// TLS tells a peer why it was turned away by a one-byte alert only. Note that a dialer's handshake is complete
    /// before the acceptor has judged its certificate: `IdentityDemanded` and `IdentityRefused` come as the error of
    /// the first thing that the dialer waits for on a connection that looked established.
    pub(crate) fn of(error: &ConnectionError) -> Option<Self> {
        match error {
            ConnectionError::TransportError(here) => match alert(here.code)? {
                Alert::NoApplicationProtocol => Some(Self::NoCommonProtocol),
                alert if is_about_certificate(alert) => {
                    Some(Self::PeerRefused { reason: here.reason.clone() })
                }
                _ => None,
            },
            ConnectionError::ConnectionClosed(there) => match alert(there.error_code)? {
                Alert::NoApplicationProtocol => Some(Self::NoCommonProtocol),
                Alert::CertificateRequired => Some(Self::IdentityDemanded),
                alert if is_about_certificate(alert) => Some(Self::IdentityRefused),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The alert inside a QUIC error code: RFC 9001, section 4.8.
fn alert(code: quinn::TransportErrorCode) -> Option<Alert> {
    let low = u64::from(code).checked_sub(0x100)?;
    u8::try_from(low).ok().map(Alert::from)
}

fn is_about_certificate(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::BadCertificateStatusResponse
            | Alert::CertificateRequired
    )
}

/// Remembers the last wrong fingerprint that a dialer's configuration met.
///
/// quinn reduces what a verifier says to text, so the verifier notes the fingerprints here, and the dialing code asks
/// [`explain`](Self::explain) with the error of the failed dial. When several dials share a configuration and more
/// than one of them meets a wrong key, each is told of the last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presented(Arc<Mutex<Option<WrongFingerprint>>>);

impl Presented {
    pub(super) fn note(&self, wrong: WrongFingerprint) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(wrong);
    }

    /// Why a dial under this configuration failed: [`HandshakeProblem::of`] with the fingerprints filled in.
    pub(crate) fn explain(&self, error: &ConnectionError) -> Option<HandshakeProblem> {
        if let ConnectionError::TransportError(here) = error
            && alert(here.code) == Some(Alert::CertificateUnknown)
            && let Some(wrong) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
        {
            return Some(HandshakeProblem::WrongFingerprint(wrong.clone()));
        }
        HandshakeProblem::of(error)
    }
}
