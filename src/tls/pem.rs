//! PEM text in, keys and certificates out.

use std::io::{self, Read};

use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The largest PEM file that is read, in bytes. A system's whole CA bundle takes about a quarter of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The private keys and certificates of a PEM text, in their order; sections of other kinds are skipped.
#[derive(Default)]
pub(super) struct Sections {
    pub(super) keys: Vec<PrivateKeyDer<'static>>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl Sections {
    pub(super) fn parse(text: &str) -> Result<Self, pem::Error> {
        let mut sections = Self::default();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let (kind, der) = section?;
            if kind == SectionKind::Certificate {
                sections.certificates.push(CertificateDer::from(der));
            } else if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
                sections.keys.push(key);
            }
        }
        Ok(sections)
    }
}

/// Reads a PEM text of at most 1 MiB.
pub(super) fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than the limit of {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(text)
}

pub(super) fn encode_key(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    encode(label, key.secret_der())
}

pub(super) fn encode_certificate(certificate: &CertificateDer<'_>) -> String {
    encode("CERTIFICATE", certificate)
}

/// RFC 7468: base64 in lines of 64 characters, each of 48 bytes, between two labels.
fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        line.chunks(3).for_each(|group| encode_group(group, &mut text));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Up to three bytes as four characters of base64.
fn encode_group(group: &[u8], text: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = (0..3).fold(0usize, |bits, at| (bits << 8) | usize::from(group.get(at).copied().unwrap_or(0)));
    for character in 0..4 {
        text.push(match character <= group.len() {
            true => char::from(ALPHABET[(bits >> (18 - 6 * character)) & 63]),
            false => '=',
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_vectors_of_rfc_4648() {
        for (bytes, expected) in
            [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(
                encode("X", bytes.as_bytes()),
                format!("-----BEGIN X-----\n{expected}\n-----END X-----\n")
            );
        }
    }

    #[test]
    fn bytes_of_every_length_are_read_back() {
        for length in 1..=200u8 {
            let certificate = CertificateDer::from((0..length).map(|byte| byte ^ 0xa5).collect::<Vec<_>>());
            let text = encode_certificate(&certificate);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(Sections::parse(&text).unwrap().certificates, [certificate]);
        }
    }

    #[test]
    fn a_text_over_the_limit_is_refused() {
        let limit = FILE_BYTES_MAX as usize;
        assert_eq!(read(vec![b'a'; limit].as_slice()).unwrap().len(), limit);
        assert_eq!(read(vec![b'a'; limit + 1].as_slice()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
