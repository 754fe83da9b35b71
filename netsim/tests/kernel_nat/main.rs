//! The NAT box behaves as the kernel's NAT does.
//!
//! The same probe, which finds out how a NAT maps and filters as RFC 5780 does, goes through the real NAT of a
//! Linux kernel and through the simulated one; both must get the same verdict. The real one lives in network
//! namespaces that nobody else sees and that are gone with this process. Where they are not allowed, or a tool is
//! missing, the comparison is skipped and says why.
//!
//! | file | what it holds |
//! |---|---|
//! | `probe` | the questions, and the verdict |
//! | `simulated` | them asked of the NAT box |
//! | `kernel` | them asked of the kernel |

#[cfg(target_os = "linux")]
mod kernel;
mod probe;
mod simulated;

use std::process::ExitCode;

use bowline_netsim::{Dependence, NatConfig};
use libtest_mimic::{Arguments, Completion, Trial};
use probe::Verdict;

/// A NAT, in nftables and in the simulation.
#[derive(Clone, Debug)]
struct Kind {
    name: &'static str,
    /// What nftables is told; `OUTSIDE` is the NAT's outside address.
    rule: &'static str,
    /// Whoever is sent to from inside may be answered by anybody.
    open: bool,
    config: NatConfig,
    expected: Verdict,
}

fn kinds() -> Vec<Kind> {
    use Dependence::{AddressAndPortDependent, EndpointIndependent};
    let verdict = |mapping, filtering, preserves_port| Verdict {
        mapping,
        filtering,
        preserves_port,
        shares_port: false,
        hairpins: false,
    };
    let symmetric = NatConfig::linux().mapping(AddressAndPortDependent).preserve_ports(false);
    let is_symmetric = verdict(AddressAndPortDependent, AddressAndPortDependent, false);
    vec![
        Kind {
            name: "restricted",
            rule: "masquerade",
            open: false,
            config: NatConfig::linux(),
            expected: verdict(EndpointIndependent, AddressAndPortDependent, true),
        },
        Kind {
            name: "full_cone",
            rule: "snat to OUTSIDE",
            open: true,
            config: NatConfig::new().hairpin(false),
            expected: verdict(EndpointIndependent, EndpointIndependent, true),
        },
        Kind {
            name: "symmetric_fully_random",
            rule: "masquerade fully-random",
            open: false,
            config: symmetric.clone(),
            expected: is_symmetric,
        },
        Kind {
            name: "symmetric_random",
            rule: "masquerade random",
            open: false,
            config: symmetric.clone(),
            expected: is_symmetric,
        },
        Kind {
            name: "symmetric_from_a_block_of_ports",
            rule: "meta l4proto udp snat to OUTSIDE:40000-49999 fully-random",
            open: false,
            config: symmetric.ports(40_000, 49_999),
            expected: is_symmetric,
        },
    ]
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for kind in kinds() {
        for six in [false, true] {
            let family = if six { "ipv6" } else { "ipv4" };
            let (of_box, of_kernel) = (kind.clone(), kind.clone());
            trials.push(Trial::test(format!("box_{}_{family}", kind.name), move || {
                compare(&simulated::verdict(&of_box.config, six), &of_box.expected)
            }));
            let name = format!("kernel_{}_{family}", kind.name);
            trials.push(Trial::ignorable_test(name, move || match kernel(&of_kernel, six) {
                Ok(verdict) => compare(&verdict, &of_kernel.expected).map(|()| Completion::Completed),
                Err(Unavailable::NotHere(why)) => Ok(Completion::ignored_with(why)),
                Err(Unavailable::Broken(why)) => Err(why.into()),
            }));
        }
    }
    #[cfg(target_os = "linux")]
    if let Some(code) = kernel::in_namespaces_of_our_own() {
        return code;
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why the kernel gave no verdict.
#[derive(Debug)]
enum Unavailable {
    /// This machine cannot do it.
    NotHere(String),
    /// It should have worked.
    Broken(String),
}

#[cfg(target_os = "linux")]
fn kernel(kind: &Kind, six: bool) -> Result<Verdict, Unavailable> {
    kernel::verdict(kind.rule, kind.open, six)
}

#[cfg(not(target_os = "linux"))]
fn kernel(_: &Kind, _: bool) -> Result<Verdict, Unavailable> {
    Err(Unavailable::NotHere("the kernel is no Linux".into()))
}

fn compare(found: &Verdict, expected: &Verdict) -> Result<(), libtest_mimic::Failed> {
    if found == expected { Ok(()) } else { Err(format!("found {found:#?}, expected {expected:#?}").into()) }
}
