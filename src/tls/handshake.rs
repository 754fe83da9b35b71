//! The TLS configurations of both roles: TLS 1.3 and nothing else.

use std::sync::Arc;

use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::client_auth::ClientAuth;
use super::error::TlsConfigError;
use super::identity::Identity;
use super::problem::Presented;
use super::provider;
use super::trust::Trust;

/// The dialing side's TLS: it demands an acceptor that `trust` accepts, and shows `identity` when asked.
///
/// Build it once for each session and dial with it every time, so that later handshakes are resumed. The second value
/// [explains](Presented::explain) failed dials.
pub(crate) fn client_config(
    identity: &Identity,
    trust: &Trust,
    alpn: &[u8],
) -> Result<(ClientConfig, Presented), TlsConfigError> {
    let presented = Presented::default();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsConfigError::setup)?
        .dangerous()
        .with_custom_certificate_verifier(trust.server_verifier(&presented)?)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.enable_early_data = false;
    Ok((config, presented))
}

/// The accepting side's TLS: it proves `identity`, and asks of dialers what `auth` says.
pub(crate) fn server_config(
    identity: &Identity,
    auth: &ClientAuth,
    alpn: &[u8],
) -> Result<ServerConfig, TlsConfigError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsConfigError::setup)?;
    let builder = match auth.verifier()? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.max_early_data_size = 0;
    Ok(config)
}
