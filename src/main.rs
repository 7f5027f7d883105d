//! The `roomcast` program; all of it is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Sessions come and go by the thousand: it gives their memory out faster, and leaves fewer holes.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Reads FAILPOINTS, in a build with that feature; in any other there is nothing to read.
    let _scenario = fail::FailScenario::setup();
    roomcast::cli::main()
}
