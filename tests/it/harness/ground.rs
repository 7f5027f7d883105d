//! What servers under test stand on: a folder, and on the services a database and topics of its
//! own. It outlives a server, so that a test can kill that one and start another on the same
//! ground, or several side by side.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tempfile::TempDir;

use super::{Services, is_on_services, scratch::Scratch, uuid};

/// Signs the tokens of every server on the services.
const SECRET: &str = "a secret of the tests, no shorter than has to be";

/// A folder, and what there is on the services, if its servers run on them.
pub struct Ground {
    folder: TempDir,
    scratch: Option<Scratch>,
}

/// Which part of the system a process is; embedded, it is always all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    #[default]
    All,
    Gateway,
    Worker,
}

impl Ground {
    /// Makes ground that nobody has stood on, of the kind that this run is for.
    pub async fn fresh() -> Self {
        match is_on_services() {
            true => {
                let services = Services::of_run().expect("a run on services knows where they are");
                Self::on(services).await
            }
            false => Self::with(None),
        }
    }

    /// Makes ground on services, whatever this run is for: for tests of several processes.
    pub async fn on(services: Services) -> Self {
        Self::with(Some(Scratch::make(services).await))
    }

    fn with(scratch: Option<Scratch>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { folder, scratch }
    }

    /// Returns a call of the program with what it needs to find the services.
    pub fn call(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomcast"));
        command
            .args(args)
            .current_dir(self.folder())
            .envs(self.scratch().env())
            .env("JWT_SECRET", SECRET)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Returns the call of a server on it; port 0 is any free one.
    pub fn command(&self, part: Part, port: u16) -> Command {
        let mut command = match &self.scratch {
            None => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_roomcast"));
                command.current_dir(self.folder());
                command.args(["dev", "--data-dir"]).arg(self.data_dir());
                command
            }
            Some(_) => {
                let mut command = self.call(&["serve", "--migrate", "--role", part.role()]);
                command.args(["--bind-addr", "127.0.0.1"]);
                command
            }
        };
        let port = port.to_string();
        match part {
            Part::Worker => command.args(["--worker-port", &port]),
            Part::All | Part::Gateway => {
                command.args(["--metrics-addr", "127.0.0.1:0", "--port", &port])
            }
        };
        command
    }

    /// Returns the folder that servers run in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the folder that an embedded server keeps its data in.
    pub fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Returns the database and the topics, for who writes there beside the servers.
    pub fn scratch(&self) -> &Scratch {
        self.scratch.as_ref().expect("it is on the services")
    }

    /// Returns whether servers on it use the services.
    pub fn is_on_services(&self) -> bool {
        self.scratch.is_some()
    }

    /// Returns the secret that signs tokens.
    pub fn secret(&self) -> String {
        if self.is_on_services() {
            return SECRET.to_owned();
        }
        let secret = std::fs::read_to_string(self.data_dir().join("jwt.secret"));
        secret.expect("the server made it").trim().to_owned()
    }

    /// Signs a token as another issuer with the secret does.
    pub fn sign(&self, user_id: &str, expires_in_s: i64) -> String {
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "sub": user_id, "iat": now, "exp": now + expires_in_s, "jti": uuid(),
            "iss": "roomcast", "aud": "roomcast",
        });
        let key = EncodingKey::from_secret(self.secret().as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims, &key).expect("claims encode")
    }
}

impl Part {
    fn role(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }
}
