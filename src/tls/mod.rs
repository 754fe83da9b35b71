//! Who a peer is: identities, the trust put in them, and the TLS 1.3 configurations that enforce it.
//!
//! An [`Identity`] is a private key and the certificate that carries its public key. A peer recognises it by its
//! [`Fingerprint`], the hash of that public key. The dialing side says with [`Trust`] which peer it is willing to talk
//! to; the accepting side says with [`ClientAuth`] what it asks of those who dial. After the handshake each side knows
//! the other as a [`PeerIdentity`].
//!
//! ```
//! use bowline::tls::{Fingerprint, Identity, Trust};
//!
//! // On the accepting side: make a key, and tell its fingerprint to whoever will dial.
//! let identity = Identity::generate()?;
//! let told = identity.fingerprint().to_string();
//!
//! // On the dialing side: talk to nobody but the holder of that key.
//! let trust = Trust::fingerprint(told.parse::<Fingerprint>()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every configuration speaks TLS 1.3 only, uses ring explicitly (the process-wide default of rustls is neither read
//! nor set), and never accepts or sends early data. Sessions are resumed through the in-memory stores of rustls: a
//! dialer remembers up to 256 server names, an acceptor up to 256 tickets, of which it gives two at a
//! time. A resumed handshake yields the identity that was verified in the full one.

mod client_auth;
mod error;
mod fingerprint;
mod handshake;
mod identity;
mod key_file;
mod peer;
mod pem;
mod problem;
mod trust;
mod verify;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

pub use client_auth::ClientAuth;
pub use error::{IdentityError, TlsConfigError, TrustError};
pub use fingerprint::{Fingerprint, ParseFingerprintError, WrongFingerprint};
pub(crate) use handshake::{client_config, server_config};
pub use identity::Identity;
pub use peer::PeerIdentity;
pub(crate) use problem::{HandshakeProblem, Presented};
pub use trust::Trust;

/// The one source of cryptography of this crate.
fn provider() -> Arc<CryptoProvider> {
    static RING: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    RING.clone()
}
