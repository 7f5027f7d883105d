//! A stack of the three services of its own, which goes with this value.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::floor;

/// See the module.
pub(crate) struct Services {
    folder: TempDir,
    env: Vec<(String, String)>,
}

/// A database and topics of one round.
pub(crate) struct Ground {
    /// What a server needs to find them.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) brokers: String,
    /// Before the names of the topics.
    pub(crate) prefix: String,
    pub(crate) database_url: String,
}

impl Services {
    pub(crate) fn up() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let mut services = Self {
            folder,
            env: Vec::new(),
        };
        services.run("up")?;
        let env = fs::read_to_string(services.folder.path().join("env"))?;
        let pairs = env.lines().filter_map(|line| line.split_once('='));
        services.env = pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(services)
    }

    fn run(&self, verb: &str) -> anyhow::Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/services");
        let run = Command::new("bash")
            .arg(script)
            .arg(verb)
            .env("SERVICES_DIR", self.folder.path())
            .stdout(Stdio::null())
            .status()?;
        ensure!(run.success(), "dev/services {verb} failed");
        Ok(())
    }

    fn value(&self, key: &str) -> anyhow::Result<&str> {
        let pair = self.env.iter().find(|(name, _)| name == key);
        Ok(&pair
            .with_context(|| format!("the services have no {key}"))?
            .1)
    }

    /// Makes a database of its own; topics come with the first server.
    pub(crate) fn ground(&self) -> anyhow::Result<Ground> {
        let name = format!("round_{}", uuid::Uuid::new_v4().simple());
        let url = self.value("DATABASE_URL")?;
        floor::postgres::execute(url, &format!("CREATE DATABASE {name}"))?;
        let (server, _) = url.rsplit_once('/').context("DATABASE_URL")?;
        let database_url = format!("{server}/{name}");
        let prefix = format!("{name}.");
        let mut env = self.env.clone();
        env.retain(|(key, _)| key != "DATABASE_URL" && key != "DB_DATABASE");
        env.push(("DATABASE_URL".to_owned(), database_url.clone()));
        env.push(("DB_DATABASE".to_owned(), name));
        env.push(("KAFKA_TOPIC_PREFIX".to_owned(), prefix.clone()));
        Ok(Ground {
            env,
            brokers: self.value("KAFKA_BROKERS")?.to_owned(),
            prefix,
            database_url,
        })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // What is left is in a temporary folder.
        let _ = self.run("wipe");
    }
}
