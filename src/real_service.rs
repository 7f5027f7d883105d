//! Tests of adapters need the real services: where they are, and what a test says without them.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicU32, Ordering},
};

/// Set where a missing service is a failure: in `dev/test`.
const REQUIRE: &str = "ROOMCAST_REQUIRE_SERVICES";

/// Returns a variable that says where a service is; `None` after saying that a test is skipped.
pub(crate) fn setting(key: &str, test: &str) -> Option<String> {
    let value = std::env::var(key).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        skip(test, &format!("needs {key} (run dev/test)"));
    }
    value
}

/// Writes `SKIPPED <running number> <test>: <why>` past the test runner, which would keep it.
///
/// # Panics
/// Where services are required.
pub(crate) fn skip(test: &str, why: &str) {
    static SKIPPED: AtomicU32 = AtomicU32::new(0);
    let is_required = std::env::var_os(REQUIRE).is_some_and(|value| value == "1");
    assert!(!is_required, "{test} {why}, and {REQUIRE} is set");
    let number = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    // Nobody reads it: then nobody counts.
    let _ = writeln!(io::stderr(), "SKIPPED {number} {test}: {why}");
}
