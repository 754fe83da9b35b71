//! The command `netsim proxy`: a proxy that is told what to do by lines and over HTTP.

mod http;
mod lines;
mod words;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use bowline_netsim::proxy::{
    BindError, Command, CommandError, Event, Events, Happened, Options, Proxy, Reply,
};
use bowline_netsim::{Scenario, ScenarioError};
use clap::Args;
use serde_json::{Value, json};

/// The arguments of `netsim proxy`.
#[derive(Debug, Args)]
pub(crate) struct ProxyArguments {
    /// Where clients send to: an address and a port; port 0 takes any that is free.
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// The server: an address or a name, and a port.
    #[arg(long, value_name = "ADDR")]
    upstream: String,
    /// A name from the list, or a TOML file. Without it the network is clean, and mappings never expire.
    #[arg(long, value_name = "NAME|FILE")]
    scenario: Option<String>,
    /// The same seed gives the n-th packet of each direction the same luck.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Take commands over HTTP here: GET /status, POST /command.
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// Allow --control on an address that is not loopback. Whoever can reach it can change the network, and have
    /// scenario files read.
    #[arg(long, requires = "control")]
    control_anywhere: bool,
    /// So many mappings at once, and a socket for each. When there are as many, the longest dead are closed; if none
    /// is dead, packets of further clients are dropped and counted.
    #[arg(long, value_name = "COUNT", default_value_t = 512)]
    max_mappings: usize,
    /// So many bytes on their way at once; packets that come in beyond that are dropped and counted.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    max_queued_bytes: u64,
    /// Nothing but JSON on the output, one object in each line: what happens, and a summary, as answers to commands
    /// are in any case.
    #[arg(long)]
    json: bool,
}

/// Why a proxy did not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyFailure {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{what} {name:?} is no address: {why}; write an address and a port, such as 127.0.0.1:4433")]
    Resolve { what: &'static str, name: String, why: String },
    #[error("cannot take commands on {addr}: {source}")]
    Control { addr: SocketAddr, source: io::Error },
    #[error(
        "--control {0} can be reached from elsewhere, and whoever reaches it can change the network: \
         take a loopback address, such as 127.0.0.1, or add --control-anywhere"
    )]
    ControlAnywhere(SocketAddr),
    #[error("the proxy did not start: {0}")]
    Start(io::Error),
}

/// A line to answer, and how it is to be answered.
enum Input {
    Line(String),
    TooLong,
}

pub(super) fn proxy(arguments: ProxyArguments, out: &mut dyn Write) -> Result<(), ProxyFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(ProxyFailure::Start)?.block_on(serve(arguments, out))
}

async fn serve(arguments: ProxyArguments, out: &mut dyn Write) -> Result<(), ProxyFailure> {
    let mut options = Options::new()
        .seed(arguments.seed)
        .max_mappings(arguments.max_mappings)
        .max_queued_bytes(arguments.max_queued_bytes);
    if let Some(name) = &arguments.scenario {
        options = options.scenario(Scenario::find(name)?);
    }
    let listen = resolve("--listen", &arguments.listen).await?;
    let upstream = resolve("--upstream", &arguments.upstream).await?;
    let signals = Signals::new().map_err(ProxyFailure::Start)?;
    let control = match arguments.control {
        Some(addr) if !addr.ip().is_loopback() && !arguments.control_anywhere => {
            return Err(ProxyFailure::ControlAnywhere(addr));
        }
        Some(addr) => Some(
            tokio::net::TcpListener::bind(addr)
                .await
                .map_err(|source| ProxyFailure::Control { addr, source })?,
        ),
        None => None,
    };
    let proxy = Arc::new(Proxy::bind(listen, upstream, options).await?);
    let events = proxy.events();
    let mut screen = Screen { out, json: arguments.json };
    let control_addr = control.as_ref().and_then(|control| control.local_addr().ok());
    screen.listening(&proxy, control_addr);
    if let Some(control) = control {
        tokio::spawn(http::serve(Arc::clone(&proxy), control));
    }
    talk(&proxy, &mut screen, events, signals).await;
    let status = proxy.stop().await;
    if screen.json {
        screen.json("summary", json!(status));
    } else {
        screen.print(&words::status(&status));
    }
    Ok(())
}

/// Answers and tells until a signal comes.
async fn talk(proxy: &Proxy, screen: &mut Screen<'_>, mut events: Events, mut signals: Signals) {
    let mut input = lines::stdin();
    let mut reading = true;
    loop {
        tokio::select! {
            biased;
            () = signals.next() => return,
            Some(happened) = events.next() => screen.happened(&happened),
            line = input.recv(), if reading => match line {
                Some(Input::Line(line)) if line.trim().is_empty() => {}
                Some(Input::Line(line)) => screen.answer(proxy, &line),
                Some(Input::TooLong) => screen.refuse(&lines::too_long()),
                // Whoever started us has nothing more to say, and wants us to go on.
                None => reading = false,
            },
        }
    }
}

async fn resolve(what: &'static str, name: &str) -> Result<SocketAddr, ProxyFailure> {
    let failure = |why: String| ProxyFailure::Resolve { what, name: name.into(), why };
    let mut found = tokio::net::lookup_host(name).await.map_err(|error| failure(error.to_string()))?;
    found.next().ok_or_else(|| failure("the name has no address".into()))
}

/// What the answer to a command says in JSON.
fn reply(line: &str, reply: &Reply) -> Value {
    let mut answer = match reply {
        Reply::Status(status) => json!(status),
        Reply::Mappings(mappings) => json!({ "mappings": mappings }),
        _ => json!({}),
    };
    answer["ok"] = true.into();
    answer["command"] = line.trim().into();
    answer
}

fn refusal(reason: &str) -> Value {
    json!({ "ok": false, "error": reason })
}

fn perform(proxy: &Proxy, line: &str) -> Result<Reply, CommandError> {
    proxy.command(&line.parse::<Command>()?)
}

/// Where we write to. If nobody reads any more, the proxy goes on without a word.
struct Screen<'a> {
    out: &'a mut dyn Write,
    json: bool,
}

impl Screen<'_> {
    fn listening(&mut self, proxy: &Proxy, control: Option<SocketAddr>) {
        let (addr, upstream, status) = (proxy.addr(), proxy.upstream(), proxy.status());
        let scenario = status.scenario.map(|scenario| scenario.name);
        if self.json {
            let (seed, to) = (status.seed, upstream);
            self.json(
                "listening",
                json!({ "addr": addr, "control": control, "upstream": to, "scenario": scenario, "seed": seed }),
            );
            return;
        }
        let control = control.map(|addr| format!(", commands on http://{addr}")).unwrap_or_default();
        let scenario = scenario.unwrap_or_else(|| "a clean network".into());
        self.print(&format!("listening on {addr}, forwarding to {upstream} over {scenario}{control}\n"));
    }

    fn happened(&mut self, happened: &Happened) {
        if self.json {
            self.print(&format!("{}\n", json!(happened)));
        } else if is_warning(&happened.event) {
            writeln!(io::stderr(), "netsim: {}", words::event(&happened.event)).ok();
        } else {
            self.print(&format!("{:>9.3} s  {}\n", happened.at.as_secs_f64(), words::event(&happened.event)));
        }
    }

    /// One line of JSON, also for people: what asked may be a script that has started a proxy to be looked at.
    fn answer(&mut self, proxy: &Proxy, line: &str) {
        match perform(proxy, line) {
            Ok(done) => self.print(&format!("{}\n", reply(line, &done))),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn refuse(&mut self, reason: &str) {
        self.print(&format!("{}\n", refusal(reason)));
    }

    fn json(&mut self, event: &str, mut object: Value) {
        object["event"] = event.into();
        self.print(&format!("{object}\n"));
    }

    fn print(&mut self, text: &str) {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).ok();
    }
}

/// What an operator must act on.
fn is_warning(event: &Event) -> bool {
    matches!(
        event,
        Event::UpstreamRefused { .. }
            | Event::SocketFailed { .. }
            | Event::MappingsFull { .. }
            | Event::QueueFull { .. }
            | Event::Missed { .. }
    )
}

/// The signals that end us.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        tokio::signal::ctrl_c().await.ok();
    }
}
