//! What can go wrong with identities, trust and their configuration.

use std::io;
use std::path::{Path, PathBuf};

use super::fingerprint::Fingerprint;

/// What kept an [`Identity`](super::Identity) from being made, read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// No key or certificate could be made.
    #[error("no identity could be generated: {reason}")]
    Generate {
        /// What failed.
        reason: String,
    },
    /// The text is not valid PEM.
    #[error(
        "the text is not valid PEM ({reason}): give it as the private key's and the certificates' sections"
    )]
    Pem {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no private key in the text.
    #[error(
        "there is no private key in the PEM text: put it beside the certificate, as a PRIVATE KEY section"
    )]
    NoPrivateKey,
    /// The private key is protected by a passphrase.
    #[error("the private key is encrypted: decrypt it first, for example with `openssl pkey`")]
    EncryptedPrivateKey,
    /// There is more than one private key in the text, so which one is meant is not clear.
    #[error("there are {found} private keys in the PEM text: leave only that of the first certificate")]
    SeveralPrivateKeys {
        /// The private keys found.
        found: usize,
    },
    /// There is no certificate in the text.
    #[error("there is no certificate in the PEM text: put the private key's certificate beside it")]
    NoCertificate,
    /// The private key is malformed or of a kind that is not supported.
    #[error(
        "the private key is unusable ({reason}): use Ed25519, ECDSA on P-256 or P-384, or RSA from 2048 bits"
    )]
    UnusableKey {
        /// What is wrong with it.
        reason: String,
    },
    /// The first certificate is malformed or not X.509 version 3.
    #[error("the first certificate is unusable ({reason}): use an X.509 version 3 certificate")]
    UnusableCertificate {
        /// What is wrong with it.
        reason: String,
    },
    /// The first certificate is about another key.
    #[error(
        "the private key ({key}) is not that of the first certificate ({certificate}): use the certificate issued for \
         this key and put it first"
    )]
    KeyMismatch {
        /// The fingerprint of the private key's public key.
        key: Fingerprint,
        /// The fingerprint of the certificate's public key.
        certificate: Fingerprint,
    },
    /// There is no file at the path.
    #[error("there is no identity file {}: create it, or let `Identity::load_or_generate` do that", path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// What is at the path is not a regular file.
    #[error("{} is not a regular file: name the file that holds the identity", path.display())]
    NotAFile {
        /// The path asked for.
        path: PathBuf,
    },
    /// The file's permissions let its group or others at the private key.
    #[error(
        "{} has mode {mode:04o}, which lets others at the private key in it: run `chmod 600 {}`",
        path.display(), shell_word(path)
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file could not be read, or is larger than 1 MiB.
    #[error("the identity file {} could not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The directory that should hold the file does not exist.
    #[error("there is no directory {} to keep the identity in: create it first", path.display())]
    MissingDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The file could not be written. What was at the path before, if anything, is untouched.
    #[error("the identity could not be kept in {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The file was read, but holds no usable identity. It is left as it is.
    #[error(
        "the file {} holds no usable identity and was left as it is, repair it or move it away: {source}",
        path.display()
    )]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        source: Box<IdentityError>,
    },
}

/// What kept a [`Trust`](super::Trust) from being made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The text is not valid PEM.
    #[error("the CA certificates are not valid PEM ({reason}): give them as CERTIFICATE sections")]
    Pem {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no certificate in the text.
    #[error("there is no certificate in the PEM text: give the CA's certificate as a CERTIFICATE section")]
    NoCertificate,
    /// A certificate cannot serve as a CA's.
    #[error(
        "certificate {position} in the PEM text cannot be used as a CA's ({reason}): replace or remove it"
    )]
    UnusableCertificate {
        /// Which certificate, counted from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The file could not be read, or is larger than 1 MiB.
    #[error("the CA file {} could not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The file was read, but its content is unusable.
    #[error("the CA file {} is unusable: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        source: Box<TrustError>,
    },
    /// The operating system's trust cannot be used.
    #[error(
        "the system's CA certificates cannot be used ({reason}): install them (on Linux often the package \
         ca-certificates), or use `Trust::fingerprint` or `Trust::ca_file`"
    )]
    Platform {
        /// What failed.
        reason: String,
    },
}

/// What kept an identity and a trust from being put to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The platform's trust was given for dialers.
    #[error(
        "`Trust::platform` vouches for servers, not for who may dial: give `ClientAuth::Trusted` fingerprints or a CA \
         of your own"
    )]
    PlatformForClients,
    /// The TLS library refused the configuration.
    #[error("TLS could not be set up: {reason}")]
    Setup {
        /// What it said.
        reason: String,
    },
}

impl TlsConfigError {
    pub(super) fn setup(error: impl std::error::Error) -> Self {
        Self::Setup { reason: error.to_string() }
    }
}

/// A path as one word of a shell command.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    match text.chars().all(plain) && !text.starts_with('-') {
        true => text,
        false if text.starts_with('-') => format!("'./{}'", text.replace('\'', r"'\''")),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_in_the_command() {
        assert_eq!(shell_word(Path::new("keys/id-1.pem")), "keys/id-1.pem");
        assert_eq!(shell_word(Path::new("-v")), "'./-v'");
        assert_eq!(shell_word(Path::new("it's $HOME")), r"'it'\''s $HOME'");
    }
}
