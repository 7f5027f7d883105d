//! Tests that do not always run: they say so where nothing captures it, and are counted.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// Set for the long set of `dev/test --long`.
const LONG: &str = "ROOMCAST_TEST_LONG";

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
