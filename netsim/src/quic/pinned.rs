//! Configurations of quinn without randomness that shows in the length or the time of a packet.
//!
//! The randoms and keys of TLS still differ from run to run, so payloads do, too; lengths do not.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, ServerConfig};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use ring::{hkdf, hmac};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::random::Draws;

/// The name in the certificate of [`server_config`].
const SERVER_NAME: &str = "server.test";

/// An Ed25519 private key (RFC 8410) that everybody knows. Its signatures have one length, unlike ECDSA's.
fn private_key() -> PrivatePkcs8KeyDer<'static> {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([7; 32]);
    der.into()
}

/// What can go wrong is a bug here: everything these configurations are made of is fixed.
#[derive(Debug, thiserror::Error)]
#[error("the fixed TLS configuration cannot be made: {0}")]
pub struct PinnedError(String);

macro_rules! pinned_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for PinnedError {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        }
    )*};
}

pinned_errors!(rcgen::Error, rustls::Error, NoInitialCipherSuite);

fn certificate() -> Result<CertificateDer<'static>, PinnedError> {
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&private_key(), &PKCS_ED25519)?;
    let mut params = CertificateParams::new([SERVER_NAME.to_owned()])?;
    params.serial_number = Some(1_u64.into());
    Ok(params.self_signed(&key)?.into())
}

/// A server with a fixed certificate for the name `server.test`. For simulations only: the key is public.
pub fn server_config() -> Result<ServerConfig, PinnedError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate()?], private_key().into())?;
    crypto.max_early_data_size = u32::MAX;
    let crypto = QuicServerConfig::try_from(crypto)?;
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&[7; 64]);
    Ok(ServerConfig::new(Arc::new(crypto), Arc::new(token_key)))
}

/// A client that trusts the certificate of [`server_config`]. Its first connection IDs follow from this name,
/// which should be its own: to a server two clients that begin with the same ID are one.
pub fn client_config(name: &str) -> Result<ClientConfig, PinnedError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate()?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let crypto = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    let ids = std::sync::Mutex::new(CountedIds::new(name, 20));
    config.initial_dst_cid_provider(Arc::new(move || {
        ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner).generate_cid()
    }));
    Ok(config)
}

/// The configuration of an endpoint: its random numbers, keys and connection IDs follow from this name.
pub fn endpoint_config(name: &str) -> EndpointConfig {
    let draws = Draws::new(0, name, "quinn");
    let mut seed = [0; 32];
    for (index, chunk) in (0..).zip(seed.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&draws.u64(0, index).to_le_bytes());
    }
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &seed)));
    config.rng_seed(Some(seed));
    let name = name.to_owned();
    config.cid_generator(move || Box::new(CountedIds::new(&name, 8)));
    config
}

/// Connection IDs that only look random.
struct CountedIds {
    draws: Draws,
    count: u64,
    length: usize,
}

impl CountedIds {
    fn new(name: &str, length: usize) -> Self {
        Self { draws: Draws::new(0, name, "connection-id"), count: 0, length }
    }
}

impl ConnectionIdGenerator for CountedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.count += 1;
        let words = (0..3).flat_map(|index| self.draws.u64(self.count, index).to_le_bytes());
        ConnectionId::new(&words.take(self.length).collect::<Vec<_>>())
    }

    fn cid_len(&self) -> usize {
        self.length
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
