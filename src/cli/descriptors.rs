//! File descriptors, of which each socket costs two.

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// The table made at the start has room for as many, and costs half a megabyte of the kernel's.
const MADE_AT_START: u64 = 65_536;

/// Raises the soft limit to the hard one, and makes room for them; to be called before any thread.
///
/// The kernel doubles a table that is full, and has a process of more than one thread wait for
/// that: 5 to 22 ms, in which nobody is served.
pub(super) fn prepare() {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            log::warn!(error:%; "the limit of open descriptors was not raised");
            return;
        }
    };
    match make_room(limit.min(MADE_AT_START)) {
        Ok(()) => log::debug!(descriptors = limit; "descriptors may be open"),
        Err(error) => log::debug!(error:%; "the table of descriptors grows as they are opened"),
    }
}

/// Has the kernel's table reach to the last of `descriptors`; it never shrinks.
fn make_room(descriptors: u64) -> Result<(), Errno> {
    let last = i32::try_from(descriptors.saturating_sub(1)).map_err(|_| Errno::INVAL)?;
    // Closed again at once.
    fcntl_dupfd_cloexec(rustix::stdio::stdin(), last).map(drop)
}
