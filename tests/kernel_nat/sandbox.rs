//! Namespaces of this program's own: for networks, mounts and processes. Nothing outside is touched, and all of it is gone with the
//! program, however that ends.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::process::Problem;

/// Set in the process that has namespaces of its own.
const INSIDE: &str = "BOWLINE_LAB_INSIDE";

/// Where administrators' programs are, which are not always on everybody's path.
pub(crate) const FOLDERS: [&str; 6] =
    ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin", "/usr/local/bin"];

/// What the lab is made with, and the package that has it.
const TOOLS: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
];

/// Named network namespaces live in /run/netns. The shell stays, so that the program is not the first of its process namespace, which
/// signals do not end.
const SCRIPT: &str = "mount -t tmpfs bowline /run && mkdir /run/netns && { \"$@\"; exit $?; }";

/// Runs this program again in namespaces of its own, where that is allowed, and says how it went. Nothing if this is the inner one, or if
/// it cannot be.
pub(crate) fn enter() -> Option<ExitCode> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let flags = flags().ok()?;
    let inner = std::env::current_exe().ok()?;
    let mut command = Command::new("unshare");
    command.args(flags).args(["sh", "-c", SCRIPT, "sh"]).arg(inner).args(std::env::args_os().skip(1));
    let error = command.env(INSIDE, "1").env("PATH", path()).exec();
    eprintln!("the lab could not be given namespaces of its own: {error}");
    Some(ExitCode::FAILURE)
}

/// Why there can be no lab here, if there cannot.
pub(crate) fn missing() -> Option<String> {
    let found = |tool: &str| FOLDERS.iter().any(|folder| Path::new(folder).join(tool).exists());
    if let Some((tool, package)) = TOOLS.iter().find(|(tool, _)| !found(tool)) {
        return Some(format!("the program {tool} is not installed (package {package})"));
    }
    if std::env::var_os(INSIDE).is_none() {
        return flags().err();
    }
    kernel_lacks().err().map(|error| format!("the kernel cannot do it: {error}"))
}

/// As root, or as somebody who becomes root in a user namespace.
fn flags() -> Result<&'static [&'static str], String> {
    const ROOT: &[&str] = &["-nmpf", "--kill-child", "--mount-proc"];
    const USER: &[&str] = &["-Urnmpf", "--kill-child", "--mount-proc"];
    let works = |flags: &&&[&str]| {
        let mut command = Command::new("unshare");
        let output =
            command.args(**flags).args(["sh", "-c", SCRIPT, "sh", "true"]).env("PATH", path()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let allowed = [ROOT, USER].iter().find(works).copied();
    allowed.ok_or_else(|| {
        "network namespaces are not allowed here: it takes root, or user namespaces".to_owned()
    })
}

/// Tries what every lab needs in the namespace that this program is in.
fn kernel_lacks() -> Result<(), Problem> {
    tool("ip", &["link", "add", "probe0", "type", "veth", "peer", "name", "probe1"], "")?;
    tool("ip", &["link", "del", "probe0"], "")?;
    let rules = "table ip probe {
        chain post { type nat hook postrouting priority srcnat; snat to 192.0.2.1 fully-random
        }
        chain forward { type filter hook forward priority filter; ct state new numgen random mod 100 < 5 counter drop
        }
    }
    delete table ip probe";
    tool("nft", &["-f", "-"], rules)?;
    tool("conntrack", &["-L"], "").map(drop)
}

/// The search path for tools.
pub(crate) fn path() -> String {
    FOLDERS.join(":")
}

/// Runs a program with an input. Its output; an error with its words if it fails.
pub(crate) fn tool(name: &str, arguments: &[&str], input: &str) -> Result<String, Problem> {
    let mut child = Command::new(name)
        .args(arguments)
        .env("PATH", path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(format!("{name} {}: {said}", arguments.join(" ")).into())
        }
    }
}
