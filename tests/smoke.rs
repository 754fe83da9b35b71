//! The house stands: version and promise are in the manifest that users see.

#[test]
fn the_package_is_named_bowline() {
    assert_eq!(env!("CARGO_PKG_NAME"), "bowline");
}
