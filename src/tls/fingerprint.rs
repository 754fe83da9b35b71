//! A peer's public key, short enough to be read aloud.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

const PREFIX: &str = "sha256:";

/// Hexadecimal digits in a fingerprint.
const DIGITS: usize = 64;

/// The name of a public key: SHA-256 over its `SubjectPublicKeyInfo` in DER.
///
/// It belongs to the key and not to the certificate around it, so a renewed certificate for the same key keeps it.
/// OpenSSL computes the same value:
///
/// ```text
/// openssl x509 -in peer.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256
/// ```
///
/// It is written as `sha256:` and 64 lowercase hexadecimal digits. It is read with or without the prefix, in upper or
/// lower case, and with or without colons between the bytes; nothing else may surround it.
///
/// ```
/// use bowline::tls::Fingerprint;
///
/// let fingerprint = Fingerprint::from_bytes([0xab; 32]);
/// assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
/// assert_eq!(["AB"; 32].join(":").parse(), Ok(fingerprint));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// A fingerprint from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The fingerprint of a public key, given its `SubjectPublicKeyInfo` in DER.
    pub(super) fn of_public_key(spki: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, spki).as_ref());
        Self(bytes)
    }

    /// The fingerprint of the public key in a certificate; an error if the certificate cannot be parsed.
    pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        Ok(Self::of_public_key(&parsed.subject_public_key_info()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let prefixed = text.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX));
        let skipped = if prefixed { PREFIX.len() } else { 0 };
        let mut bytes = [0u8; 32];
        let mut digits = 0;
        let mut after_colon = false;
        for (index, character) in text.chars().enumerate().skip(skipped) {
            let Some(digit) = character.to_digit(16) else {
                let between_bytes = digits > 0 && digits < DIGITS && digits % 2 == 0 && !after_colon;
                if character == ':' && between_bytes {
                    after_colon = true;
                    continue;
                }
                return Err(ParseFingerprintError::Character { character, position: index + 1 });
            };
            after_colon = false;
            if let Some(byte) = bytes.get_mut(digits / 2) {
                *byte = (*byte << 4) | digit as u8;
            }
            digits += 1;
        }
        match digits {
            DIGITS => Ok(Self(bytes)),
            found => Err(ParseFingerprintError::Length { found }),
        }
    }
}

/// What kept a text from being read as a [`Fingerprint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFingerprintError {
    /// The count of hexadecimal digits is not 64, prefix and colons left aside.
    #[error("a fingerprint has 64 hexadecimal digits, this one has {found}: copy it again in full")]
    Length {
        /// The digits found.
        found: usize,
    },
    /// A character is neither a hexadecimal digit nor a colon between two bytes.
    #[error(
        "{character:?} at position {position} does not belong in a fingerprint, which is 64 hexadecimal digits after \
         an optional \"sha256:\""
    )]
    Character {
        /// The character.
        character: char,
        /// Where it stands, counted in characters from 1, the prefix included.
        position: usize,
    },
}

/// A peer that proved a key other than the pinned one.
///
/// Either the peer has a new key, and then its new fingerprint has to be learned over a channel that is already
/// trusted, or somebody else answered at the peer's address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrongFingerprint {
    /// The fingerprints that would have been accepted.
    pub expected: Vec<Fingerprint>,
    /// The fingerprint of the key that the peer presented.
    pub presented: Fingerprint,
}

impl fmt::Display for WrongFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expected.as_slice() {
            [] => f.write_str("no fingerprint is trusted")?,
            [first, rest @ ..] => {
                write!(f, "expected {first}")?;
                rest.iter().try_for_each(|fingerprint| write!(f, " or {fingerprint}"))?;
            }
        }
        write!(f, ", the peer presented {}", self.presented)
    }
}

impl std::error::Error for WrongFingerprint {}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBezCCASGgAwIBAgIUQaCQ9TPmsbJPLEwz3mIsjBOZ8m0wCgYIKoZIzj0EAwIw\n\
EjEQMA4GA1UEAwwHZml4dHVyZTAgFw0yNjExMjMwMDE2MjlaGA8yMTI2MTAzMDAw\n\
MTYyOVowEjEQMA4GA1UEAwwHZml4dHVyZTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n\
A0IABPKGbQKCkJ35/7c8/mINWBlm3VBIuTe9nwfETydqLJycNn+Y5ghy3koOmoX6\n\
6lIZdZspqFsj/kb0m9Ft2U6DbxOjUzBRMB0GA1UdDgQWBBTy5feAZvRtPrfFNPMl\n\
XdWeiPfN+TAfBgNVHSMEGDAWgBTy5feAZvRtPrfFNPMlXdWeiPfN+TAPBgNVHRMB\n\
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDg4PYnmSqAhYrsSHTcIDP588C8\n\
C1eRCMos7J8C8RERNQIgYHAduS5PuW9DEkFiN6wzQHkZ6V57x35BYRROecrRm5U=\n\
-----END CERTIFICATE-----";
    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn what_is_written_is_read_back() {
        let fingerprint: Fingerprint = HEX.parse().unwrap();
        assert_eq!(fingerprint.to_string(), format!("sha256:{HEX}"));
        assert_eq!(format!("{fingerprint:?}"), format!("sha256:{HEX}"));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.as_bytes()[..3], [0x00, 0x11, 0x22]);
        assert_eq!(Fingerprint::from_bytes(*fingerprint.as_bytes()), fingerprint);
    }

    #[test]
    fn openssl_computes_the_same_from_a_certificate() {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let by_openssl = "5c7749b5e3548cf0b8db64641f16caf9265c91a233f8c7f7e72a493076d96baf";
        assert_eq!(Fingerprint::of_certificate(&certificate).unwrap(), by_openssl.parse().unwrap());
    }

    #[test]
    fn every_accepted_spelling_means_the_same() {
        let fingerprint: Fingerprint = HEX.parse().unwrap();
        let colons = fingerprint.as_bytes().map(|byte| format!("{byte:02X}")).join(":");
        for spelling in [
            HEX.to_uppercase(),
            format!("SHA256:{HEX}"),
            colons.clone(),
            format!("sha256:{}", colons.to_lowercase()),
        ] {
            assert_eq!(spelling.parse(), Ok(fingerprint), "{spelling}");
        }
    }

    #[test]
    fn a_wrong_length_is_counted() {
        let length = |found| Err(ParseFingerprintError::Length { found });
        assert_eq!("".parse::<Fingerprint>(), length(0));
        assert_eq!("sha256:".parse::<Fingerprint>(), length(0));
        assert_eq!(HEX[1..].parse::<Fingerprint>(), length(63));
        assert_eq!(format!("{HEX}0").parse::<Fingerprint>(), length(65));
        assert_eq!("ab:".parse::<Fingerprint>(), length(2));
        assert!(HEX[1..].parse::<Fingerprint>().unwrap_err().to_string().contains("has 63"));
    }

    #[test]
    fn a_character_that_does_not_belong_is_pointed_at() {
        let at = |character, position| Err(ParseFingerprintError::Character { character, position });
        assert_eq!("0g".parse::<Fingerprint>(), at('g', 2));
        assert_eq!("sha256:é".parse::<Fingerprint>(), at('é', 8));
        assert_eq!("sha1:00".parse::<Fingerprint>(), at('s', 1));
        assert_eq!(":00".parse::<Fingerprint>(), at(':', 1));
        assert_eq!("0:0".parse::<Fingerprint>(), at(':', 2));
        assert_eq!("00::00".parse::<Fingerprint>(), at(':', 4));
        assert_eq!(format!("{HEX}:").parse::<Fingerprint>(), at(':', 65));
        assert_eq!(format!("{HEX}\n").parse::<Fingerprint>(), at('\n', 65));
    }
}
