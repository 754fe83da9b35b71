//! Two peers chat. `chat demo` runs both in one process.
use std::{error::Error, net::Ipv4Addr, sync::Arc};

use quinn::{ClientConfig, Endpoint, ServerConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("demo") => demo().await,
        other => Err(format!("unknown command {other:?}; try `chat demo`").into()),
    }
}

/// One message from bob to ada over QUIC, answered when ada has it.
async fn demo() -> Result<(), Box<dyn Error>> {
    const TEXT: &[u8] = b"hello over QUIC";
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["ada".to_owned()])?;
    let key = signing_key.serialize_der().try_into()?;
    let server = ServerConfig::with_single_cert(vec![cert.der().clone()], key)?;
    let ada = Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into())?;
    let addr = ada.local_addr()?;

    let listener = tokio::spawn(async move {
        let incoming = ada.accept().await.ok_or("the endpoint closed")?;
        let connection = incoming.await.map_err(|e| e.to_string())?;
        let (mut answer, mut text) = connection.accept_bi().await.map_err(|e| e.to_string())?;
        let text = text.read_to_end(1024).await.map_err(|e| e.to_string())?;
        println!("ada  < {}", String::from_utf8_lossy(&text));
        answer.write_all(&text).await.map_err(|e| e.to_string())?;
        answer.finish().map_err(|e| e.to_string())?;
        connection.closed().await;
        Ok::<_, String>(())
    });

    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let bob = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    let connection = bob.connect_with(config, addr, "ada")?.await?;
    let (mut text, mut answer) = connection.open_bi().await?;
    text.write_all(TEXT).await?;
    text.finish()?;
    let handled = answer.read_to_end(1024).await? == TEXT;
    println!("bob  > {} {}", String::from_utf8_lossy(TEXT), if handled { "✓✓" } else { "✗" });
    connection.close(0u32.into(), b"done");
    listener.await??;
    println!("sent=1 handled={} lost={} doubled=0 out_of_order=0", u8::from(handled), u8::from(!handled));
    if handled { Ok(()) } else { Err("the message was not handled".into()) }
}
