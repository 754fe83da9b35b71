//! Data streams, there and back.

use bowline::id::ChannelId;
use bowline::wire::Data;
use bowline::wire::data::{RecordDecoder, RecordEncoder};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::arbitrary;

/// The stream that carries these, and the messages it is read as.
fn stream(channel: ChannelId, first: u64, records: &[(u64, bool, Vec<u8>)]) -> (Bytes, Vec<Data>) {
    let mut encoder = RecordEncoder::new(channel, first);
    let (mut out, mut messages) = (BytesMut::new(), Vec::new());
    for (advance, redelivered, payload) in records {
        let sequence = encoder.next_sequence() + advance;
        encoder.put(&mut out, sequence, *redelivered, payload.len()).unwrap();
        out.extend_from_slice(payload);
        let payload = Bytes::copy_from_slice(payload);
        messages.push(Data { channel, sequence, redelivered: *redelivered, payload });
    }
    (out.freeze(), messages)
}

proptest! {
    #[test]
    fn what_is_written_is_read((channel, first, records) in arbitrary::records(20_000, 20)) {
        let (bytes, messages) = stream(channel, first, &records);
        let mut decoder = RecordDecoder::new(20_000);
        decoder.push(bytes);
        let found = std::iter::from_fn(|| decoder.next().unwrap()).collect::<Vec<_>>();
        prop_assert_eq!(decoder.finish(), Ok(()));
        prop_assert_eq!(found, messages);
    }
}
