//! What the kernel says of a server's process: memory, processor time, threads, descriptors.

use super::TestServer;

/// How often [`TestServer::least_growth_kib`] looks.
const LOOKS: usize = 3;

impl TestServer {
    /// Returns the most resident memory of the process since [`Self::forget_peak`], in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Returns how many threads the process has.
    pub fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    /// Returns how many descriptors the kernel's table has room for before it has to grow.
    pub fn room_for_descriptors(&self) -> u64 {
        self.status("FDSize:")
    }

    /// Returns what the kernel says of the process.
    fn status(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(status).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        let number = number.expect("the kernel tells it");
        number.parse().expect("a number")
    }

    /// Returns the processor time that all threads of the process have had, in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        let tasks = tasks.expect("the process runs").map_while(Result::ok);
        // A thread may end while it is looked at.
        let spent = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        spent.sum()
    }

    /// Lets the peak begin at what is resident now; returns that, in KiB.
    pub fn forget_peak(&self) -> u64 {
        let refs = format!("/proc/{}/clear_refs", self.pid());
        std::fs::write(refs, "5").expect("the process is ours");
        self.peak_kib()
    }

    /// Returns how many files and sockets the process has open.
    pub fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        open.expect("the process is ours").count()
    }

    /// Returns by how much the peak of resident memory grows when something happens: the least of
    /// three times, in KiB. An allocator takes a megabyte or two now and then; what an attack costs,
    /// it costs each time.
    pub async fn least_growth_kib(&self, happening: impl AsyncFn()) -> u64 {
        let mut least = u64::MAX;
        for _ in 0..LOOKS {
            let before = self.forget_peak();
            happening().await;
            least = least.min(self.peak_kib().saturating_sub(before));
        }
        least
    }
}
