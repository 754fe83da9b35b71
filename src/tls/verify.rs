//! The certificate checks behind trust and client authentication.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    SignatureScheme,
};

use super::fingerprint::{Fingerprint, WrongFingerprint};
use super::problem::Presented;
use super::provider;

/// The keys that pass.
#[derive(Debug)]
pub(super) enum Accepted {
    Anyone,
    Pinned(Arc<[Fingerprint]>),
}

/// Judges a peer by its public key alone: the certificate is a mere envelope, whose names, dates and issuer mean
/// nothing. The peer must still prove that it holds the key, by its signature over the handshake.
#[derive(Debug)]
pub(super) struct KeyVerifier {
    accepted: Accepted,
    mandatory: bool,
    presented: Presented,
    provider: Arc<CryptoProvider>,
}

impl KeyVerifier {
    pub(super) fn of_servers(accepted: Accepted, presented: Presented) -> Self {
        Self { accepted, mandatory: true, presented, provider: provider() }
    }

    /// `mandatory`: whether a dialer without a certificate is refused.
    pub(super) fn of_clients(accepted: Accepted, mandatory: bool) -> Self {
        Self { accepted, mandatory, presented: Presented::default(), provider: provider() }
    }

    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let presented = Fingerprint::of_certificate(certificate)?;
        let pins = match &self.accepted {
            Accepted::Anyone => return Ok(()),
            Accepted::Pinned(pins) => pins,
        };
        if pins.contains(&presented) {
            return Ok(());
        }
        let wrong = WrongFingerprint { expected: pins.to_vec(), presented };
        self.presented.note(wrong.clone());
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong)))))
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// QUIC has no TLS 1.2, so this is reached by mistake only.
fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for KeyVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
