//! How fast virtual time passes: `cargo run --release -p bowline-netsim --example speed`

use std::time::{Duration, Instant};

use bowline_netsim::quic::{self, Run};
use bowline_netsim::{Conditions, NatConfig, Scenario};

#[allow(clippy::disallowed_methods, reason = "it measures real time")]
fn main() -> Result<(), quic::RunError> {
    let chat = Scenario::new("chat", Duration::from_secs(60))
        .both(Conditions::new().delay(Duration::from_millis(30)).jitter(Duration::from_millis(10)).loss(2.0))
        .nat(NatConfig::linux());

    let (runs, began) = (100, Instant::now());
    let mut packets = 0;
    for seed in 0..runs {
        packets += Run::new(&chat).seed(seed).light().run()?.packets();
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("a lossy chat of 60 s, {} packets", packets / runs);
    println!("  {:.0} virtual seconds per second", (60 * runs) as f64 / seconds);
    println!("  {:.0} seeds a minute", runs as f64 * 60.0 / seconds);

    let began = Instant::now();
    let summary = Run::new(&chat).clients(100).run()?;
    println!("100 clients for 60 s, {} packets: {:.2} s", summary.packets(), began.elapsed().as_secs_f64());
    Ok(())
}
