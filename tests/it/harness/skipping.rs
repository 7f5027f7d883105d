//! Tests that do not always run: they say so where nothing captures it, and are counted.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// Set for the long set of `dev/test --long`.
const LONG: &str = "ROOMCAST_TEST_LONG";

/// Set where services that are missing are a failure: in `dev/test`.
const REQUIRE: &str = "ROOMCAST_REQUIRE_SERVICES";

/// `services`, or nothing for the embedded adapters.
const ON: &str = "ROOMCAST_TEST_ON";

/// Returns whether a test that finds no services has to fail.
pub(super) fn are_services_required() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

/// Returns whether this run's servers stand on the services.
pub fn is_on_services() -> bool {
    std::env::var_os(ON).is_some_and(|on| on == "services")
}

/// Returns whether servers run on the embedded adapters, for a test about those; says so if not.
pub fn is_embedded(why: &str) -> bool {
    if is_on_services() {
        skip(why);
    }
    !is_on_services()
}

/// Returns whether tests that take minutes run; says so if not.
pub fn runs_long() -> bool {
    let runs = std::env::var_os(LONG).is_some_and(|value| value == "1");
    if !runs {
        skip("takes minutes (run dev/test --long)");
    }
    runs
}

/// Returns whether the server under test has fail points; says so if not.
pub fn with_failpoints() -> bool {
    let has = cfg!(feature = "failpoints");
    if !has {
        skip("needs fail points (run cargo test --features failpoints)");
    }
    has
}

/// Writes `SKIPPED <running number> <test>: <why>` past the test runner, which would keep it.
pub fn skip(why: &str) {
    static SKIPPED: AtomicU32 = AtomicU32::new(0);
    let number = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let test = thread::current();
    let test = test.name().unwrap_or("a test");
    // Nobody reads it: then nobody counts.
    let _ = writeln!(io::stderr(), "SKIPPED {number} {test}: {why}");
}
