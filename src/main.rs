//! The `roomcast` program; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Reads FAILPOINTS, in a build with that feature; in any other there is nothing to read.
    let _scenario = fail::FailScenario::setup();
    roomcast::cli::main()
}
