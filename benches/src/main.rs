//! Size and time of chat messages as protobuf and as JSON.
//!
//! ```console
//! cargo run --release -p bowline-benches              # a table
//! cargo run --release -p bowline-benches -- --json    # one object a line
//! ```
//!
//! Both directions work with owned values, and each encoding allocates its buffer, as a sender does that hands it over.
//! With `--json` a line has `sample`, `format`, `bytes`, `gzipped_bytes`, and of the fastest and the median batch in
//! nanoseconds `encode_ns`, `decode_ns`, `encode_median_ns` and `decode_median_ns`. What the figures mean:
//! `docs/protobuf-and-json.md`.

use std::hint::black_box;
use std::process::ExitCode;

use bowline_benches::{Codec, Sample, Visitor, for_each, size, time};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let columns = ["bytes", "gzip", "encode", "decode", "both", "(median)"];
            let [bytes, gzip, encode, decode, both, median] = columns;
            println!(
                "{:24} {:18} {bytes:>7} {gzip:>7} {encode:>9} {decode:>9} {both:>9} {median:>9}  ns",
                "", ""
            );
            for_each(&mut Report { json: false });
        }
        ["--json"] => for_each(&mut Report { json: true }),
        _ => {
            eprintln!("usage: bowline-benches [--json]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

struct Report {
    json: bool,
}

impl Visitor for Report {
    fn visit<T: Codec>(&mut self, sample: &Sample, format: &'static str, value: &T) {
        let (size, encoded) = (size(value), value.encode());
        let encode = time(|| black_box(value).encode());
        let decode = time(|| T::decode(black_box(&encoded)));
        if self.json {
            let line = serde_json::json!({
                "sample": sample.name,
                "format": format,
                "bytes": size.bytes,
                "gzipped_bytes": size.gzipped,
                "encode_ns": encode.best_ns,
                "decode_ns": decode.best_ns,
                "encode_median_ns": encode.median_ns,
                "decode_median_ns": decode.median_ns,
            });
            println!("{line}");
        } else {
            let (best, median) = (encode.best_ns + decode.best_ns, encode.median_ns + decode.median_ns);
            println!(
                "{:24} {format:18} {:7} {:7} {:9.0} {:9.0} {best:9.0} {median:9.0}",
                sample.name, size.bytes, size.gzipped, encode.best_ns, decode.best_ns
            );
        }
    }
}
