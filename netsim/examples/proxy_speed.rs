//! How fast and how exact the proxy is, on this machine:
//! `cargo run --release -p bowline-netsim --example proxy_speed`

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use bowline_netsim::Conditions;
use bowline_netsim::proxy::{Options, Proxy, Side};

type Failure = Box<dyn std::error::Error>;

/// Bytes of payload in a packet.
const PACKET: usize = 1_200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let lossy = Conditions::new().loss(1.0);
    println!("1 % loss, packets of {PACKET} bytes, as fast as the rate says");
    for mbit_per_s in [100.0, 300.0, 1_000.0, 3_000.0] {
        throughput(&lossy, mbit_per_s).await?;
    }
    println!("1 % loss and 20 ms each way");
    throughput(&lossy.delay(Duration::from_millis(20)), 100.0).await?;
    println!("loss that was asked for and achieved, 50 000 packets");
    for percent in [1.0, 5.0, 20.0] {
        let proxy = flood(&Conditions::new().loss(percent), 200.0, 50_000).await?.0;
        println!("  {percent:>4} %  {:.2} %", proxy.stop().await.up.loss_percent);
    }
    println!(
        "one way, socket to socket, 2000 packets each 1.3 ms: what it takes beyond the delay that was asked for"
    );
    for millis in [0, 1, 5, 20, 50] {
        precision(Duration::from_millis(millis)).await?;
    }
    Ok(())
}

async fn start(conditions: &Conditions, server: &UdpSocket) -> Result<Proxy, Failure> {
    let listen: SocketAddr = "127.0.0.1:0".parse()?;
    let proxy = Proxy::bind(listen, server.local_addr()?, Options::new()).await?;
    proxy.set(Side::Both, conditions)?;
    Ok(proxy)
}

async fn throughput(conditions: &Conditions, mbit_per_s: f64) -> Result<(), Failure> {
    let packets = (mbit_per_s * 1e6 / 8.0 / PACKET as f64 * 3.0) as u64;
    let (proxy, arrived, seconds) = flood(conditions, mbit_per_s, packets).await?;
    let up = proxy.stop().await.up;
    let rate = |packets: u64| packets as f64 * PACKET as f64 * 8e-6 / seconds;
    println!(
        "  offered {:>6.0} Mbit/s, proxy read {:>6.0}, server got {:>6.0}; unread {}, lost {:.2} %, delay {:?}",
        rate(packets),
        rate(up.packets_in),
        rate(arrived),
        packets - up.packets_in,
        up.loss_percent,
        up.delay_ms,
    );
    Ok(())
}

/// Sends so many packets at this rate; says how many arrived, and how long it took.
#[allow(clippy::disallowed_methods, reason = "it measures real time")]
async fn flood(conditions: &Conditions, mbit_per_s: f64, packets: u64) -> Result<(Proxy, u64, f64), Failure> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    server.set_read_timeout(Some(Duration::from_millis(500)))?;
    let proxy = start(conditions, &server).await?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(proxy.addr())?;
    let counts = thread::spawn(move || {
        let mut buffer = [0; PACKET];
        let mut arrived = 0;
        while server.recv(&mut buffer).is_ok() {
            arrived += 1;
        }
        arrived
    });
    let gap = Duration::from_secs_f64(PACKET as f64 * 8e-6 / mbit_per_s);
    let start = Instant::now();
    for number in 0..packets {
        let due = start + gap.mul_f64(number as f64);
        let wait = due.saturating_duration_since(Instant::now());
        if wait > Duration::from_micros(200) {
            thread::sleep(wait);
        }
        client.send(&[7; PACKET])?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let arrived = counts.join().map_err(|_| "the server's thread has died")?;
    Ok((proxy, arrived, seconds))
}

#[allow(clippy::disallowed_methods, reason = "it measures real time")]
async fn precision(delay: Duration) -> Result<(), Failure> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let proxy = start(&Conditions::new().delay(delay), &server).await?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(proxy.addr())?;
    let (packets, start) = (2_000_u64, Instant::now());
    let receiver = thread::spawn(move || {
        let mut late = Vec::new();
        let mut stamp = [0; 8];
        while late.len() < packets as usize && server.recv(&mut stamp).is_ok() {
            let sent = Duration::from_nanos(u64::from_be_bytes(stamp));
            late.push((start.elapsed() - sent).saturating_sub(delay));
        }
        late
    });
    for _ in 0..packets {
        client.send(&(start.elapsed().as_nanos() as u64).to_be_bytes())?;
        thread::sleep(Duration::from_micros(1_300));
    }
    let mut late = receiver.join().map_err(|_| "the server's thread has died")?;
    late.sort_unstable();
    let [median, p99] = [late.len() / 2, late.len() * 99 / 100].map(|place| late[place].as_micros());
    println!("  {:>3} ms  median +{median} us, 99 % +{p99} us", delay.as_millis());
    Ok(())
}
