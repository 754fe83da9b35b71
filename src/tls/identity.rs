//! The key and certificate by which this side is known: generated, or kept in a file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use ring::hkdf;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::error::IdentityError;
use super::fingerprint::Fingerprint;
use super::{key_file, pem, provider};

/// What a generated certificate says about its holder. Peers look at the key alone, and `.invalid` never resolves.
const GENERATED_NAME: &str = "bowline.invalid";

/// A private key and the certificate chain that carries its public key.
///
/// It is cheap to clone, and its `Debug` shows the fingerprint only, never the key.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    certified: Arc<CertifiedKey>,
    key: PrivateKeyDer<'static>,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Makes a new Ed25519 key and a self-signed certificate for it, valid until the year 4096.
    ///
    /// It lives in memory only: a peer that pinned its fingerprint no longer recognises this program after a restart.
    /// [`load_or_generate`](Self::load_or_generate) keeps it.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Generate`] if the system yields no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let (key, certificate) =
            generate_key().map_err(|error| IdentityError::Generate { reason: error.to_string() })?;
        Self::from_parts(key, vec![certificate])
    }

    /// Reads a private key and its certificate chain from PEM.
    ///
    /// The text holds exactly one unencrypted private key (`PRIVATE KEY`, which is PKCS#8, or `EC PRIVATE KEY` or
    /// `RSA PRIVATE KEY`; Ed25519, ECDSA on P-256 or P-384, or RSA from 2048 bits) and at least one certificate: that
    /// of the key first, then those that lead to its CA. Sections of other kinds are skipped. Whether a certificate
    /// is still valid is for the peers to judge.
    ///
    /// # Errors
    ///
    /// An [`IdentityError`] that says what is missing, unusable or does not match.
    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        let mut sections =
            pem::Sections::parse(text).map_err(|error| IdentityError::Pem { reason: error.to_string() })?;
        match (sections.keys.pop(), sections.keys.len()) {
            (Some(key), 0) => Self::from_parts(key, sections.certificates),
            (Some(_), others) => Err(IdentityError::SeveralPrivateKeys { found: others + 1 }),
            (None, _) if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
                Err(IdentityError::EncryptedPrivateKey)
            }
            (None, _) => Err(IdentityError::NoPrivateKey),
        }
    }

    /// Reads the file at `path`, of at most 1 MiB, as [`from_pem`](Self::from_pem) does.
    ///
    /// On Unix the file must be closed to the group and to others; elsewhere its permissions are not looked at.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NotFound`], [`IdentityError::NotAFile`] or [`IdentityError::Read`] when there is nothing to
    /// read; [`IdentityError::OpenToOthers`] with the command that fixes it; [`IdentityError::InFile`] when what was
    /// read is no identity.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let path = path.as_ref();
        let text = key_file::read(path)?;
        Self::from_pem(&text)
            .map_err(|source| IdentityError::InFile { path: path.into(), source: Box::new(source) })
    }

    /// Reads the file at `path` as [`load`](Self::load) does, or [generates](Self::generate) an identity and keeps it
    /// there if no such file exists.
    ///
    /// A file that exists is never overwritten, whatever is in it. A new one is readable by its owner alone (mode 0600
    /// on Unix). When several processes do this at once, one creates the file and all get the identity in it.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load) except `NotFound`, those of [`generate`](Self::generate),
    /// [`IdentityError::MissingDirectory`] when the directory of `path` does not exist, and [`IdentityError::Write`].
    pub fn load_or_generate(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let path = path.as_ref();
        match Self::load(path) {
            Err(IdentityError::NotFound { .. }) => {}
            loaded => return loaded,
        }
        let identity = Self::generate()?;
        let unique: String =
            identity.fingerprint().as_bytes().iter().take(8).map(|b| format!("{b:02x}")).collect();
        if !key_file::create(path, &identity.to_pem(), &unique)? {
            return Self::load(path);
        }
        tracing::info!(path = %path.display(), fingerprint = %identity.fingerprint(), "identity generated");
        Ok(identity)
    }

    /// The private key and the certificate chain in PEM, as [`from_pem`](Self::from_pem) reads it.
    ///
    /// Whoever holds this text can pose as this identity.
    pub fn to_pem(&self) -> String {
        let mut text = pem::encode_key(&self.0.key);
        text.extend(self.0.certified.cert.iter().map(pem::encode_certificate));
        text
    }

    /// The fingerprint of the public key: what peers pin.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// The key and chain in the form that TLS configurations take.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.0.certified.clone()
    }

    /// A secret that only the holder of the private key can compute, different for each label and context.
    ///
    /// A label must not contain a zero byte, which separates it from the context.
    pub(crate) fn derive_secret(&self, label: &str, context: &[u8]) -> [u8; 32] {
        let mut secret = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"bowline/1 identity")
            .extract(self.0.key.secret_der())
            .expand(&[label.as_bytes(), &[0], context], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut secret))
            .expect("one block of output is within the limit of HKDF");
        secret
    }

    fn from_parts(
        key: PrivateKeyDer<'static>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Self, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
        let fingerprint = Fingerprint::of_certificate(leaf)
            .map_err(|error| IdentityError::UnusableCertificate { reason: error.to_string() })?;
        let unusable_key = |reason: String| IdentityError::UnusableKey { reason };
        let signer = provider()
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|error| unusable_key(error.to_string()))?;
        let public_key =
            signer.public_key().ok_or_else(|| unusable_key("its public key is not known".to_owned()))?;
        match Fingerprint::of_public_key(&public_key) {
            of_key if of_key == fingerprint => {}
            of_key => return Err(IdentityError::KeyMismatch { key: of_key, certificate: fingerprint }),
        }
        Ok(Self(Arc::new(Inner { certified: Arc::new(CertifiedKey::new(chain, signer)), key, fingerprint })))
    }
}

fn generate_key() -> Result<(PrivateKeyDer<'static>, CertificateDer<'static>), rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let mut params = CertificateParams::new([GENERATED_NAME.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, GENERATED_NAME);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
    let certificate = params.self_signed(&key)?;
    Ok((key.into(), certificate.into()))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.0.fingerprint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GARBAGE: &str = "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n";

    fn pem_of(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        (key.serialize_pem(), certificate.pem())
    }

    #[test]
    fn a_generated_identity_survives_its_pem() {
        let identity = Identity::generate().unwrap();
        let read = Identity::from_pem(&identity.to_pem()).unwrap();
        assert_eq!(read.fingerprint(), identity.fingerprint());
        assert_eq!(read.to_pem(), identity.to_pem());
        assert_eq!(read.certified().cert, identity.certified().cert);
        assert_ne!(Identity::generate().unwrap().fingerprint(), identity.fingerprint());
    }

    #[test]
    fn every_kind_of_key_is_read_in_either_order() {
        for algorithm in
            [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384]
        {
            let (key, certificate) = pem_of(algorithm);
            let key_first = Identity::from_pem(&format!("{key}{certificate}")).unwrap();
            let certificate_first = Identity::from_pem(&format!("words\r\n{certificate}{key}")).unwrap();
            assert_eq!(key_first.fingerprint(), certificate_first.fingerprint());
        }
    }

    #[test]
    fn a_sec1_key_is_read_and_kept_as_such() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        // PKCS#8 wraps the SEC1 key in a header, which for this curve takes 29 bytes.
        let sec1 = PrivateKeyDer::Sec1(key.serialized_der()[29..].to_vec().into());
        let text = pem::encode_key(&sec1) + &certificate.pem();
        assert!(text.starts_with("-----BEGIN EC PRIVATE KEY-----"));
        let identity = Identity::from_pem(&text).unwrap();
        assert_eq!(Identity::from_pem(&identity.to_pem()).unwrap().fingerprint(), identity.fingerprint());
    }

    #[test]
    fn a_renewed_certificate_keeps_the_fingerprint() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let [old, new] = [1, 2].map(|serial: u64| {
            let mut params = CertificateParams::default();
            params.serial_number = Some(serial.into());
            let certificate = params.self_signed(&key).unwrap();
            Identity::from_pem(&(key.serialize_pem() + &certificate.pem())).unwrap()
        });
        assert_ne!(old.certified().cert, new.certified().cert);
        assert_eq!(old.fingerprint(), new.fingerprint());
    }

    #[test]
    fn what_is_missing_or_wrong_in_the_pem_is_said() {
        let (key, certificate) = pem_of(&rcgen::PKCS_ED25519);
        let (other_key, other_certificate) = pem_of(&rcgen::PKCS_ED25519);
        let read = |text: &str| Identity::from_pem(text).unwrap_err();

        assert!(matches!(read(""), IdentityError::NoPrivateKey));
        assert!(matches!(read(&certificate), IdentityError::NoPrivateKey));
        assert!(matches!(read(&key), IdentityError::NoCertificate));
        assert!(matches!(read(GARBAGE), IdentityError::Pem { .. }));
        let two = read(&[key.as_str(), &other_key, &certificate].concat());
        assert!(matches!(two, IdentityError::SeveralPrivateKeys { found: 2 }), "{two}");
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(matches!(read(&(encrypted + &certificate)), IdentityError::EncryptedPrivateKey));
        let not_a_key = pem::encode_key(&PrivateKeyDer::Pkcs8(vec![1, 2, 3].into())) + &certificate;
        assert!(matches!(read(&not_a_key), IdentityError::UnusableKey { .. }));
        let not_a_certificate = key.clone() + &pem::encode_certificate(&vec![1, 2, 3].into());
        assert!(matches!(read(&not_a_certificate), IdentityError::UnusableCertificate { .. }));

        let ours = Identity::from_pem(&(key.clone() + &certificate)).unwrap().fingerprint();
        let theirs = Identity::from_pem(&(other_key + &other_certificate)).unwrap().fingerprint();
        match read(&(key + &other_certificate)) {
            IdentityError::KeyMismatch { key, certificate } => assert_eq!((key, certificate), (ours, theirs)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn debug_never_shows_the_key() {
        let identity = Identity::generate().unwrap();
        let expected = format!("Identity {{ fingerprint: {}, .. }}", identity.fingerprint());
        assert_eq!(format!("{identity:?}"), expected);
    }

    #[test]
    fn derived_secrets_depend_on_key_label_and_context() {
        let identity = Identity::generate().unwrap();
        let secret = identity.derive_secret("reset", b"one");
        assert_eq!(Identity::from_pem(&identity.to_pem()).unwrap().derive_secret("reset", b"one"), secret);
        assert_ne!(identity.derive_secret("reset", b"two"), secret);
        assert_ne!(identity.derive_secret("cid", b"one"), secret);
        assert_ne!(identity.derive_secret("reseto", b"ne"), secret);
        assert_ne!(Identity::generate().unwrap().derive_secret("reset", b"one"), secret);
    }

    #[test]
    fn an_identity_is_generated_once_and_then_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        assert!(matches!(Identity::load(&path), Err(IdentityError::NotFound { .. })));
        let first = Identity::load_or_generate(&path).unwrap();
        assert_eq!(Identity::load_or_generate(&path).unwrap().fingerprint(), first.fingerprint());
        assert_eq!(Identity::load(&path).unwrap().fingerprint(), first.fingerprint());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        }
    }

    #[test]
    fn all_who_generate_at_once_get_the_same_identity() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        let fingerprints: Vec<_> = std::thread::scope(|scope| {
            let generate = || Identity::load_or_generate(&path).unwrap().fingerprint();
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(generate)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let kept = Identity::load(&path).unwrap().fingerprint();
        assert!(fingerprints.iter().all(|fingerprint| *fingerprint == kept));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        match Identity::load_or_generate(missing.join("identity.pem")) {
            Err(IdentityError::MissingDirectory { path }) => assert_eq!(path, missing),
            other => panic!("{other:?}"),
        }
        assert!(!missing.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_open_to_others_is_refused_with_the_cure() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("my identity.pem");
        Identity::load_or_generate(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            for refused in [Identity::load(&path), Identity::load_or_generate(&path)] {
                let error = refused.unwrap_err();
                assert!(matches!(error, IdentityError::OpenToOthers { mode: found, .. } if found == mode));
                let told = error.to_string();
                assert!(told.contains(&format!("mode 0{mode:o}")), "{told}");
                assert!(told.contains(&format!("`chmod 600 '{}'`", path.display())), "{told}");
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        Identity::load(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_broken_file_is_an_error_and_left_as_it_is() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        for content in ["", GARBAGE, "not PEM"] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = Identity::load_or_generate(&path).unwrap_err();
            assert!(matches!(error, IdentityError::InFile { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        fs::write(&path, [0xff; 8]).unwrap();
        assert!(matches!(Identity::load_or_generate(&path), Err(IdentityError::Read { .. })));
        assert_eq!(fs::read(&path).unwrap(), [0xff; 8]);
    }
}
