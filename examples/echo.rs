//! Listen, dial, send one message and have it echoed: both peers in one process.
//!
//! `cargo run --example echo` prints what the dialing side got back.

use std::error::Error;
use std::net::Ipv4Addr;

use bowline::{ChannelConfig, Config, Delivery, Endpoint, Identity, Trust};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = Endpoint::bind((Ipv4Addr::LOCALHOST, 0), Identity::generate()?, Config::default())?;
    let (addr, fingerprint) = (listener.local_addr()?, listener.fingerprint());
    let server = tokio::spawn(echo(listener));

    let endpoint = Endpoint::client(Identity::generate()?, Config::default())?;
    let session = endpoint.connect(addr, Trust::fingerprint(fingerprint)).await?;
    let (chat, mut inbox) = session.open("echo", ChannelConfig::new(Delivery::ReliableOrdered)).await?;

    let receipt = chat.send("hello over Bowline").await?;
    receipt.await?; // the peer's application has handled it
    let answer = inbox.recv().await.ok_or("the peer left")?;
    println!("echo: {}", String::from_utf8_lossy(answer.payload()));

    println!("{}", session.close().await);
    server.await?;
    Ok(())
}

/// Sends everything back that comes, until the dialer closes the session.
async fn echo(listener: Endpoint) {
    while let Some(incoming) = listener.accept().await {
        let Ok(session) = incoming.accept().await else { continue };
        let config = ChannelConfig::new(Delivery::ReliableOrdered);
        let Ok((chat, mut inbox)) = session.open("echo", config).await else { continue };
        while let Some(message) = inbox.recv().await {
            if chat.send(message.into_payload()).await.is_err() {
                break;
            }
        }
        return println!("listener: {}", session.closed().await);
    }
}
