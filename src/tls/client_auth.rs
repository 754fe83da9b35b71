//! What the accepting side asks of those who dial it.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;

use super::error::TlsConfigError;
use super::trust::Trust;
use super::verify::{Accepted, KeyVerifier};

/// What the accepting side asks of those who dial it.
///
/// A dialer always offers its [`Identity`](super::Identity), and shows it only when asked.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum ClientAuth {
    /// Nothing is asked: every dialer is anonymous.
    Off,
    /// A key is asked for. Who proves one is known by its fingerprint; who has none is let in as anonymous.
    #[default]
    Any,
    /// A key is demanded, whichever it is: everyone is known by a fingerprint, nobody is anonymous.
    Required,
    /// A certificate is demanded that this trust accepts. Under a CA the certificate must allow client
    /// authentication, and the peer is known by the first name in it, see
    /// [`PeerIdentity::verified_name`](super::PeerIdentity::verified_name).
    ///
    /// [`Trust::platform`] is refused here, because public CAs vouch for servers and not for who may dial.
    Trusted(Trust),
}

impl ClientAuth {
    /// Whether an accepted certificate vouches for the names in it.
    pub(super) fn vouches_for_names(&self) -> bool {
        match self {
            Self::Off | Self::Any | Self::Required => false,
            Self::Trusted(trust) => trust.vouches_for_names(),
        }
    }

    /// The check of the dialers' certificates; none when no certificate is asked for.
    pub(super) fn verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsConfigError> {
        match self {
            Self::Off => Ok(None),
            Self::Any => Ok(Some(Arc::new(KeyVerifier::of_clients(Accepted::Anyone, false)))),
            Self::Required => Ok(Some(Arc::new(KeyVerifier::of_clients(Accepted::Anyone, true)))),
            Self::Trusted(trust) => trust.client_verifier().map(Some),
        }
    }
}
