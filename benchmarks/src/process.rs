//! Processes: the core they run on, and what the kernel says they have used.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};

/// Where a process may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// The core of what is measured.
    Server,
    /// The core of the load.
    Load,
    Any,
}

impl Core {
    fn list(self) -> String {
        match self {
            Self::Server => "0".to_owned(),
            Self::Load => "1".to_owned(),
            Self::Any => {
                let last = fs::read_to_string("/sys/devices/system/cpu/online");
                last.map_or_else(|_| "0-1".to_owned(), |list| list.trim().to_owned())
            }
        }
    }
}

/// Returns a command that runs a program on a core; the process is the program's own.
pub(crate) fn pinned(core: Core, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.list()]).arg(program);
    command
}

/// Moves this thread, which is the process's first, to a core; threads and processes that it starts
/// go with it.
pub(crate) fn move_to(core: Core) -> anyhow::Result<()> {
    let pid = std::process::id().to_string();
    let moved = Command::new("taskset")
        .args(["-p", "-c", &core.list(), &pid])
        .stdout(Stdio::null())
        .status()
        .context("`taskset` is missing: install util-linux")?;
    ensure!(moved.success(), "this machine has no core {core:?}");
    Ok(())
}

/// Returns the processor time of all threads of a process, by its own accounting.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended meanwhile.
        let Ok(times) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let on_cpu = times.split_whitespace().next().context("schedstat")?;
        nanos += on_cpu.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Returns the resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("VmRSS")?.parse::<u64>()? * 1024)
}
