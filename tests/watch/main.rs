//! Whether a session learns by itself that its machine has another network, between two network namespaces that nobody else sees.
//!
//! ```text
//!              ,-- line1 10.1.0.2 ---- 10.1.0.1 --.
//!   client   -(                                    )- server 10.9.0.1
//!              `-- line2 10.2.0.2 ---- 10.2.0.1 --'
//! ```
//!
//! Where namespaces are not allowed, or a tool is missing, the test is skipped and says why.

#[cfg(target_os = "linux")]
mod namespaces;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(role) = std::env::var_os(namespaces::ROLE) {
        return namespaces::play(&role);
    }
    let name = "a_session_goes_on_over_the_network_that_is_left";
    #[cfg(target_os = "linux")]
    let trial = Trial::ignorable_test(name, namespaces::run);
    #[cfg(not(target_os = "linux"))]
    let trial = Trial::test(name, || Ok(())).with_ignored_flag(true);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}
