//! Bowline through the NAT of a real kernel: rebindings, other networks, blackouts, mappings that expire, servers that die. Real
//! programs (the examples `perf` and `chat`) in network namespaces, and real time.
//!
//! ```console
//! cargo test --test kernel_nat                                  # each case once, briefly
//! cargo test --release --test kernel_nat -- measure             # the table of docs/survival.md
//! cargo test --release --test kernel_nat -- measure --runs 2 rebind
//! ```
//!
//! It takes root or user namespaces, and the packages iproute2, nftables and conntrack; where something is missing every case is
//! ignored, and says why. Nothing outside its namespaces is touched, and everything is gone with the process.
//!
//! | file | what it holds |
//! |---|---|
//! | `sandbox` | namespaces of this program's own |
//! | `lab` | client, NATs, middle and server: a lab, of which several can stand beside each other |
//! | `nat` | the kernel's NAT: kinds, rebinding, loss, expiry |
//! | `process` | programs in a lab: what they say, and signals |
//! | `drive` | one run of `perf`, and what came of it |
//! | `cases` | the rows of the table |
//! | `figures` | values and bounds |
//! | `measure` | the table |
//! | `witness` | when the network was really dark |

#[cfg(target_os = "linux")]
mod cases;
#[cfg(target_os = "linux")]
mod drive;
#[cfg(target_os = "linux")]
mod figures;
#[cfg(target_os = "linux")]
mod lab;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod nat;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod witness;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    let trial = libtest_mimic::Trial::ignorable_test("kernel_nat", || {
        Ok(libtest_mimic::Completion::ignored_with("the kernel is no Linux"))
    });
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), vec![trial]).exit_code()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::ExitCode;

    use clap::Parser;
    use libtest_mimic::{Arguments, Completion, Failed, Trial};

    use crate::cases::{self, Case, Course, Extent};
    use crate::lab::{self, Lab};
    use crate::witness::{self, WITNESS};
    use crate::{measure, sandbox};

    /// Tests mostly wait, for a network that does nothing.
    const TESTS_AT_ONCE: usize = 8;

    /// What a test lets a machine that has other things to do take longer, in milliseconds. Far less than what happens if
    /// the way that a case is about does not work. Without it: `measure`.
    const BUSY: f64 = 1000.0;

    pub(super) fn main() -> ExitCode {
        let arguments: Vec<String> = std::env::args().collect();
        match arguments.get(1).map(String::as_str) {
            // Helpers in a lab's namespaces.
            Some("delay-line") => return lab::delay_line(&arguments[2..]),
            Some("crowd") => return cases::crowd(&arguments[2..]),
            Some(WITNESS) => return witness::part(&arguments[2..]),
            _ => {}
        }
        if let Some(code) = sandbox::enter() {
            return code;
        }
        let missing = sandbox::missing();
        if arguments.get(1).is_some_and(|word| word == "measure") {
            if let Some(why) = missing {
                eprintln!("there can be no lab here: {why}");
                return ExitCode::FAILURE;
            }
            let options = measure::Options::parse_from(&arguments[1..]);
            return if measure::measure(&options, &cases::all()) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        let mut arguments = Arguments::from_args();
        arguments.test_threads = arguments.test_threads.or(Some(TESTS_AT_ONCE));
        let trials = cases::all().into_iter().map(|case| trial(case, missing.clone())).collect();
        libtest_mimic::run(&arguments, trials).exit_code()
    }

    fn trial(case: Case, missing: Option<String>) -> Trial {
        Trial::ignorable_test(case.name, move || {
            let why = missing.as_deref().or(case.only_measured);
            if let Some(why) = why {
                return Ok(Completion::ignored_with(why));
            }
            let run = || {
                let mut lab = Lab::build(case.name)?;
                (case.run)(&mut lab, Course::new(Extent::Brief, case.name, 0))
            };
            let figures = run().map_err(|error| Failed::from(error.to_string()))?;
            let beyond = figures.beyond(&case.bounds, BUSY);
            if beyond.is_empty() { Ok(Completion::Completed) } else { Err(beyond.join("\n").into()) }
        })
    }
}
