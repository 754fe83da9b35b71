//! The attach proof (rule S4): whoever knows a session's secret shows it, for this connection and this counter only.

use ring::hmac;

use crate::wire::Secret;

/// HMAC-SHA-256 of the secret over the connection's TLS exporter and the counter (8 bytes, big endian).
///
/// Another connection has another exporter (RFC 8446 §7.5), so a captured proof is worth nothing elsewhere.
pub fn prove(secret: &Secret, exporter: &[u8; 32], counter: u64) -> [u8; 32] {
    let mut proof = [0; 32];
    for (byte, tag) in proof.iter_mut().zip(hmac::sign(&key(secret), &message(exporter, counter)).as_ref()) {
        *byte = *tag;
    }
    proof
}

/// Whether `proof` is that of the secret, in constant time.
pub fn verify(secret: &Secret, exporter: &[u8; 32], counter: u64, proof: &[u8; 32]) -> bool {
    hmac::verify(&key(secret), &message(exporter, counter), proof).is_ok()
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &secret.0)
}

fn message(exporter: &[u8; 32], counter: u64) -> Vec<u8> {
    [exporter.as_slice(), &counter.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_secret_connection_and_counter_only() {
        let secret = Secret([7; 32]);
        let proof = prove(&secret, &[1; 32], 5);
        assert!(verify(&secret, &[1; 32], 5, &proof));
        assert!(!verify(&Secret([8; 32]), &[1; 32], 5, &proof));
        assert!(!verify(&secret, &[2; 32], 5, &proof));
        assert!(!verify(&secret, &[1; 32], 6, &proof));
    }
}
