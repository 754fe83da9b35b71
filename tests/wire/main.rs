//! The wire format, seen from outside: what is written can be read, what was once written stays readable, and
//! nothing that a peer can send does harm.

mod arbitrary;
mod body;
mod control;
mod data;
mod datagram;
mod golden;
mod hostile;
mod rules;
mod specification;

use bowline::wire::control::{ControlDecoder, encode};
use bowline::wire::{Control, MAX_CONTROL, WireError};
use bytes::BytesMut;

/// All frames in `bytes`, which must end between two.
fn decode_all(bytes: &[u8]) -> Result<Vec<Control>, WireError> {
    let mut decoder = ControlDecoder::new(MAX_CONTROL);
    decoder.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next()? {
        frames.push(frame);
    }
    decoder.finish()?;
    Ok(frames)
}

fn encoded(control: &Control) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(control, &mut out);
    out.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that these digits say; white space between them means nothing.
fn from_hex(digits: &str) -> Vec<u8> {
    let digits = digits.split_whitespace().collect::<String>();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {digits}");
    (0..digits.len() / 2).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap()).collect()
}
