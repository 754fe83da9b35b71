//! Who the other side has proved to be, and what a session is bound to (rule S2).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::client_auth::ClientAuth;
use super::fingerprint::Fingerprint;
use super::trust::Trust;

/// Who the peer proved to be in the handshake.
///
/// It is cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    fingerprint: Fingerprint,
    verified_name: Option<Arc<str>>,
}

impl PeerIdentity {
    /// The fingerprint of the key that the peer proved to hold.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The name that a CA vouches for; none when the peer was pinned or merely had to show some key.
    ///
    /// For the dialing side it is the name that was dialed. For the accepting side it is the first DNS name in the
    /// dialer's certificate that is not a wildcard, or else the first URI, or else none. DNS names are in lower case.
    pub fn verified_name(&self) -> Option<&str> {
        self.verified_name.as_deref()
    }

    /// The bytes that a session with this peer is bound to (rule S2): the verified name if there is one, so that a
    /// renewed key keeps the session, and otherwise the key. The first byte tells the two apart.
    pub(crate) fn binding(&self) -> Vec<u8> {
        const KEY: u8 = 1;
        const NAME: u8 = 2;
        let (tag, bytes) = match &self.verified_name {
            Some(name) => (NAME, name.as_bytes()),
            None => (KEY, self.fingerprint.as_bytes().as_slice()),
        };
        [&[tag], bytes].concat()
    }

    /// What the dialing side knows once `connection` is established: dialed as `server_name`, under `trust`.
    ///
    /// None only before the handshake is complete: an acceptor always proves a key.
    pub(crate) fn of_acceptor(
        connection: &quinn::Connection,
        trust: &Trust,
        server_name: &str,
    ) -> Option<Self> {
        let leaf = leaf(connection)?;
        let verified_name = trust.vouches_for_names().then(|| canonical_name(server_name));
        Some(Self { fingerprint: Fingerprint::of_certificate(&leaf).ok()?, verified_name })
    }

    /// What the accepting side knows once `connection` is established: accepted under `auth`. None: anonymous.
    pub(crate) fn of_dialer(connection: &quinn::Connection, auth: &ClientAuth) -> Option<Self> {
        let leaf = leaf(connection)?;
        let verified_name = auth.vouches_for_names().then(|| name_in(&leaf)).flatten();
        Some(Self { fingerprint: Fingerprint::of_certificate(&leaf).ok()?, verified_name })
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verified_name {
            Some(name) => write!(f, "{name} ({})", self.fingerprint),
            None => self.fingerprint.fmt(f),
        }
    }
}

/// The certificate of the peer's key.
fn leaf(connection: &quinn::Connection) -> Option<CertificateDer<'static>> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.into_iter().next()
}

/// One spelling for each name: addresses as Rust writes them, DNS names in lower case and without a final dot.
fn canonical_name(name: &str) -> Arc<str> {
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_string().into(),
        Err(_) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into(),
    }
}

/// The name by which the holder of a certificate that a CA vouches for is known.
fn name_in(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    // A wildcard is what many holders share, and so names none of them.
    let dns = parsed.valid_dns_names().find(|name| !name.starts_with('*')).map(canonical_name);
    dns.or_else(|| parsed.valid_uri_names().next().map(Arc::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn peer(fingerprint: u8, name: Option<&str>) -> PeerIdentity {
        PeerIdentity {
            fingerprint: Fingerprint::from_bytes([fingerprint; 32]),
            verified_name: name.map(canonical_name),
        }
    }

    #[test]
    fn a_session_is_bound_to_the_name_if_there_is_one_and_to_the_key_otherwise() {
        assert_eq!(peer(1, Some("a.example")).binding(), peer(2, Some("a.example")).binding());
        assert_ne!(peer(1, Some("a.example")).binding(), peer(1, Some("b.example")).binding());
        assert_ne!(peer(1, None).binding(), peer(2, None).binding());
        let name_like_a_key = peer(b'k', Some(&"k".repeat(32)));
        assert_ne!(name_like_a_key.binding(), peer(b'k', None).binding());
    }

    #[test]
    fn spellings_of_one_name_are_one() {
        assert_eq!(peer(1, Some("Chat.Example.")), peer(1, Some("chat.example")));
        assert_eq!(peer(1, Some("0:0:0:0:0:0:0:1")), peer(1, Some("::1")));
    }

    fn name_of(names: Vec<SanType>) -> Option<Arc<str>> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        name_in(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn a_certificate_names_its_holder_by_dns_then_by_uri() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let uri = |name: &str| SanType::URI(name.try_into().unwrap());
        assert_eq!(
            name_of(vec![uri("spiffe://x/y"), dns("*.example"), dns("B.example"), dns("c.example")])
                .as_deref(),
            Some("b.example")
        );
        assert_eq!(name_of(vec![dns("*.example"), uri("spiffe://x/Y")]).as_deref(), Some("spiffe://x/Y"));
        assert_eq!(name_of(vec![SanType::IpAddress([127, 0, 0, 1].into())]), None);
        assert_eq!(name_of(vec![]), None);
    }
}
