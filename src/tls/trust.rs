//! Whom the dialing side takes for the peer it means.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::error::{TlsConfigError, TrustError};
use super::fingerprint::Fingerprint;
use super::problem::Presented;
use super::verify::{Accepted, KeyVerifier};
use super::{pem, provider};

/// Which peers are believed to be who they should be.
///
/// A pinned fingerprint is the strongest and needs no CA: the peer must prove that very key, whatever its certificate
/// says about names and dates. Under a CA the peer must present a valid certificate for the name that was dialed.
///
/// It is cheap to clone.
#[derive(Clone)]
pub struct Trust(Kind);

#[derive(Clone)]
enum Kind {
    Pinned(Arc<[Fingerprint]>),
    Ca(Arc<RootCertStore>),
    Platform(Arc<rustls_platform_verifier::Verifier>),
    Anyone,
}

impl Trust {
    /// Trusts the holder of one key.
    pub fn fingerprint(fingerprint: Fingerprint) -> Self {
        Self::any_of([fingerprint])
    }

    /// Trusts the holder of any of these keys: the present and the next one while a peer changes its key, or the
    /// members of a group. An empty set trusts nobody.
    pub fn any_of(fingerprints: impl IntoIterator<Item = Fingerprint>) -> Self {
        Self(Kind::Pinned(fingerprints.into_iter().collect()))
    }

    /// Trusts certificates issued under any of the CA certificates in a PEM text. Sections of other kinds are skipped.
    ///
    /// Revocation is not checked.
    ///
    /// # Errors
    ///
    /// [`TrustError::Pem`], [`TrustError::NoCertificate`] or [`TrustError::UnusableCertificate`].
    pub fn ca_pem(text: &str) -> Result<Self, TrustError> {
        let sections =
            pem::Sections::parse(text).map_err(|error| TrustError::Pem { reason: error.to_string() })?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in sections.certificates.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| TrustError::UnusableCertificate {
                position: index + 1,
                reason: error.to_string(),
            })?;
        }
        match roots.is_empty() {
            true => Err(TrustError::NoCertificate),
            false => Ok(Self(Kind::Ca(Arc::new(roots)))),
        }
    }

    /// Reads the file at `path`, of at most 1 MiB, as [`ca_pem`](Self::ca_pem) does.
    ///
    /// # Errors
    ///
    /// [`TrustError::Read`] when the file cannot be read, [`TrustError::InFile`] when what was read is unusable.
    pub fn ca_file(path: impl AsRef<Path>) -> Result<Self, TrustError> {
        let path = path.as_ref();
        let text = File::open(path)
            .and_then(pem::read)
            .map_err(|source| TrustError::Read { path: path.into(), source })?;
        Self::ca_pem(&text)
            .map_err(|source| TrustError::InFile { path: path.into(), source: Box::new(source) })
    }

    /// Trusts what the operating system trusts: for servers with a certificate from a public CA, or from one that the
    /// machine's administrator installed.
    ///
    /// This is for dialing; [`ClientAuth::Trusted`](super::ClientAuth::Trusted) does not take it. On Linux the system's
    /// CA certificates are read here, once. On Android `rustls-platform-verifier` must have been initialised before.
    ///
    /// # Errors
    ///
    /// [`TrustError::Platform`] if the system has no CA certificates or does not let at them.
    pub fn platform() -> Result<Self, TrustError> {
        rustls_platform_verifier::Verifier::new(provider())
            .map(|verifier| Self(Kind::Platform(Arc::new(verifier))))
            .map_err(|error| TrustError::Platform { reason: error.to_string() })
    }

    /// Trusts anyone: the peer proves that it holds some key, and any key will do.
    ///
    /// What is lost is the knowledge of who is at the other end. Traffic is still encrypted, but whoever controls the
    /// network in between can answer in the peer's place, read and change every message, and pass it on. A session
    /// is still bound to the key that was presented first, so a later connection by another key cannot take it over.
    /// For tests, and for first contact when the fingerprint is then checked by other means.
    pub fn danger_accept_anyone() -> Self {
        Self(Kind::Anyone)
    }

    /// Whether this trust vouches for a name, and not only for a key.
    pub(super) fn vouches_for_names(&self) -> bool {
        match self.0 {
            Kind::Ca(_) | Kind::Platform(_) => true,
            Kind::Pinned(_) | Kind::Anyone => false,
        }
    }

    /// The dialing side's check. A wrong fingerprint is noted in `presented`.
    pub(super) fn server_verifier(
        &self,
        presented: &Presented,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        Ok(match &self.0 {
            Kind::Pinned(pins) => {
                Arc::new(KeyVerifier::of_servers(Accepted::Pinned(pins.clone()), presented.clone()))
            }
            Kind::Anyone => Arc::new(KeyVerifier::of_servers(Accepted::Anyone, presented.clone())),
            Kind::Ca(roots) => WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
                .build()
                .map_err(TlsConfigError::setup)?,
            Kind::Platform(verifier) => verifier.clone(),
        })
    }

    /// The accepting side's check, which a dialer without a certificate does not pass.
    pub(super) fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsConfigError> {
        Ok(match &self.0 {
            Kind::Pinned(pins) => Arc::new(KeyVerifier::of_clients(Accepted::Pinned(pins.clone()), true)),
            Kind::Anyone => Arc::new(KeyVerifier::of_clients(Accepted::Anyone, true)),
            Kind::Ca(roots) => WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
                .build()
                .map_err(TlsConfigError::setup)?,
            Kind::Platform(_) => return Err(TlsConfigError::PlatformForClients),
        })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Pinned(pins) => f.debug_tuple("Pinned").field(pins).finish(),
            Kind::Ca(roots) => write!(f, "Ca({} certificates)", roots.len()),
            Kind::Platform(_) => f.write_str("Platform"),
            Kind::Anyone => f.write_str("DangerAcceptAnyone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Identity;

    #[test]
    fn a_ca_text_without_a_usable_certificate_is_refused() {
        let identity = Identity::generate().unwrap().to_pem();
        let (_, certificate) = identity.split_at(identity.find("-----BEGIN CERTIFICATE").unwrap());
        let (key, _) = identity.split_at(identity.len() - certificate.len());
        assert!(matches!(Trust::ca_pem(""), Err(TrustError::NoCertificate)));
        assert!(matches!(Trust::ca_pem(key), Err(TrustError::NoCertificate)));
        let cut = certificate.replace("-----END CERTIFICATE-----", "");
        assert!(matches!(Trust::ca_pem(&cut), Err(TrustError::Pem { .. })));
        let broken = certificate.to_owned() + &pem::encode_certificate(&vec![1, 2, 3].into());
        match Trust::ca_pem(&broken) {
            Err(TrustError::UnusableCertificate { position, .. }) => assert_eq!(position, 2),
            other => panic!("{other:?}"),
        }
        assert_eq!(format!("{:?}", Trust::ca_pem(&identity).unwrap()), "Ca(1 certificates)");
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        match Trust::ca_file(&path) {
            Err(TrustError::Read { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
        std::fs::write(&path, "nothing").unwrap();
        match Trust::ca_file(&path) {
            Err(TrustError::InFile { path: named, source }) => {
                assert_eq!(named, path);
                assert!(matches!(*source, TrustError::NoCertificate));
            }
            other => panic!("{other:?}"),
        }
    }
}
