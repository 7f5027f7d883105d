//! A stack of one test's own, to be broken. It takes seconds to start; what does not break
//! anything uses the one of the run.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, process::Command};

use tempfile::TempDir;

use super::Services;

/// Kafka, PostgreSQL or Valkey, as `dev/services` calls them.
#[derive(Debug, Clone, Copy)]
pub enum Service {
    Kafka,
    Postgres,
    Valkey,
}

/// Stopped and removed when it is dropped.
pub struct BreakableStack {
    folder: TempDir,
}

impl BreakableStack {
    /// Starts the three services in a folder of their own.
    pub fn up() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // PostgreSQL does not run as root: its own user has to come in.
        let all = Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), all).expect("the folder is ours");
        let stack = Self { folder };
        stack.call(&["up"]);
        stack
    }

    /// Returns where they are; a service that was killed comes back where it was.
    pub fn services(&self) -> Services {
        let text = std::fs::read_to_string(self.folder.path().join("env"));
        let text = text.expect("it was written");
        let found = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let mut values = lines.filter(|(found, _)| *found == name);
            values.next().map(|(_, value)| value.to_owned())
        };
        Services::read(found).expect("it names all three")
    }

    /// SIGKILL.
    pub fn kill(&self, service: Service) {
        self.call(&["kill", service.name()]);
    }

    /// SIGSTOP: it hangs.
    pub fn stop(&self, service: Service) {
        self.call(&["stop", service.name()]);
    }

    /// SIGCONT.
    pub fn cont(&self, service: Service) {
        self.call(&["cont", service.name()]);
    }

    /// Starts one that was killed, and waits until it answers.
    pub fn start(&self, service: Service) {
        self.call(&["up", service.name()]);
    }

    /// A clean end and a start.
    pub fn restart(&self, service: Service) {
        self.call(&["restart", service.name()]);
    }

    fn call(&self, args: &[&str]) {
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dev/services"))
            .args(args)
            .env("SERVICES_DIR", self.folder.path())
            .output()
            .expect("dev/services can be called");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "dev/services {args:?}: {said}");
    }
}

impl Drop for BreakableStack {
    fn drop(&mut self) {
        let wiped = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dev/services"))
            .arg("wipe")
            .env("SERVICES_DIR", self.folder.path())
            .status();
        if !std::thread::panicking() {
            assert!(wiped.expect("it can be called").success());
        }
    }
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Valkey => "valkey",
        }
    }
}
