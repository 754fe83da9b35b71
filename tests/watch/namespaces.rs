//! The two namespaces, and the two programs in them.

use std::error::Error;
use std::ffi::OsStr;
use std::future::IntoFuture;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use bowline::{ChannelConfig, Config, Delivery, Endpoint, Event, Fingerprint, Identity, Trust};
use libtest_mimic::{Completion, Failed};
use tokio::time::timeout;

/// Names what a process of this program is to do.
pub(crate) const ROLE: &str = "BOWLINE_WATCH_ROLE";

const SERVER: &str = "10.9.0.1:4433";

/// Longer than anything here takes, and much shorter than what would repair the session without the watch.
const GUARD: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(270);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs the client in a namespace of its own.
pub(crate) fn run() -> std::result::Result<Completion, Failed> {
    let namespace = ["--user", "--map-root-user", "--net"];
    let allowed =
        Command::new("unshare").args(namespace).args(["ip", "link", "add", "x", "type", "veth"]).output();
    match allowed {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => {
            let why = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
            return Ok(Completion::ignored_with(format!("no network namespaces here: {why}")));
        }
        Err(error) => return Ok(Completion::ignored_with(format!("no unshare or ip here: {error}"))),
    }
    let program = std::env::current_exe()?;
    let played = Command::new("unshare").args(namespace).arg(program).env(ROLE, "client").output()?;
    match played.status.success() {
        true => Ok(Completion::Completed),
        false => Err(String::from_utf8_lossy(&played.stderr).into_owned().into()),
    }
}

/// What a process in a namespace does.
pub(crate) fn play(role: &OsStr) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let played = runtime.map_err(Into::into).and_then(|runtime| match role == "server" {
        true => runtime.block_on(serve()),
        false => runtime.block_on(client()),
    });
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A process that ends with this one.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ip(arguments: &str) -> Result<()> {
    command(&mut Command::new("ip"), arguments)
}

fn command(program: &mut Command, arguments: &str) -> Result<()> {
    let output = program.args(arguments.split(' ')).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{arguments}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// The server's namespace, and the lines between it and this one. It lives as long as its process.
fn server_namespace() -> Result<(Helper, String)> {
    // It says something when it is there, and stays until its standard input ends.
    let mut stays = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo there; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    BufReader::new(stays.stdout.take().ok_or("no output")?).read_line(&mut said)?;
    let pid = stays.id();
    let inside = format!("--net=/proc/{pid}/ns/net");
    ip("link set lo up")?;
    let there = |arguments: &str| command(Command::new("nsenter").arg(&inside).arg("ip"), arguments);
    there("link set lo up")?;
    there("addr add 10.9.0.1/32 dev lo")?;
    for net in [1, 2] {
        let line = format!("line{net}");
        ip(&format!("link add {line} type veth peer name {line}p netns {pid}"))?;
        ip(&format!("addr add 10.{net}.0.2/24 dev {line}"))?;
        ip(&format!("link set {line} up"))?;
        there(&format!("addr add 10.{net}.0.1/24 dev {line}p"))?;
        there(&format!("link set {line}p up"))?;
    }
    ip("route add 10.9.0.1 via 10.1.0.1")?;
    Ok((Helper(stays), inside))
}

fn server(inside: &str) -> Result<(Helper, Fingerprint)> {
    let mut server = Command::new("nsenter")
        .arg(inside)
        .arg(std::env::current_exe()?)
        .env(ROLE, "server")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut fingerprint = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut fingerprint)?;
    Ok((Helper(server), fingerprint.trim().parse()?))
}

/// Greets one client, and stays for it.
async fn serve() -> Result<()> {
    let config = Config::default().heartbeat(HEARTBEAT);
    let endpoint = Endpoint::bind(SERVER.parse::<std::net::SocketAddr>()?, Identity::generate()?, config)?;
    println!("{}", endpoint.fingerprint());
    let session = endpoint.accept().await.ok_or("closed")?.accept().await?;
    let (out, _inbox) = session.open("news", ChannelConfig::new(Delivery::ReliableOrdered)).await?;
    drop(out.send("hello").await?);
    drop(session.closed().await);
    Ok(())
}

async fn client() -> Result<()> {
    let (_namespace, inside) = server_namespace()?;
    let (_server, fingerprint) = server(&inside)?;
    let endpoint = Endpoint::client(Identity::generate()?, Config::default().heartbeat(HEARTBEAT))?;
    endpoint.watch_network()?;
    let session =
        timeout(GUARD, endpoint.connect(SERVER, Trust::fingerprint(fingerprint)).into_future()).await??;
    let (_out, mut inbox) = session.open("news", ChannelConfig::new(Delivery::ReliableOrdered)).await?;
    timeout(GUARD, inbox.recv()).await?.ok_or("the server has left")?;
    let mut events = session.events();
    // What changes nothing on the way to the server is no news.
    ip("addr add 10.3.0.1/24 dev line2")?;
    ip("route add 10.4.0.0/24 via 10.2.0.1")?;
    // Nobody says anything, so that nothing else would show what happens now.
    ip("link set line1 down")?;
    ip("route add 10.9.0.1 via 10.2.0.1")?;
    let resumed = async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Resumed { .. }) {
                return Ok(());
            }
        }
        Err("the session has ended")
    };
    timeout(GUARD, resumed).await.map_err(|_| "nobody has noticed the other network")??;
    match session.stats().attaches {
        2 => Ok(()),
        attaches => Err(format!("{attaches} connections, where two were needed").into()),
    }
}
