//! Where the three services are.

use std::env;

use url::Url;

use super::{skip, skipping::are_services_required};

/// PostgreSQL, Kafka and Valkey: those of the run, or of one test.
#[derive(Debug, Clone)]
pub struct Services {
    pub database: Url,
    pub brokers: String,
    pub valkey: String,
}

impl Services {
    /// Reads what `dev/services` writes; `None` unless it names all three.
    pub fn read(found: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let database = Url::parse(&found("DATABASE_URL")?).expect("DATABASE_URL is a URL");
        let (host, port) = (found("REDIS_HOST")?, found("REDIS_PORT")?);
        Some(Self {
            database,
            brokers: found("KAFKA_BROKERS")?,
            valkey: format!("redis://{host}:{port}"),
        })
    }

    /// Returns those of the run, for a test that needs them; without them it is skipped.
    pub fn of_run() -> Option<Self> {
        let services = Self::read(|name| env::var(name).ok());
        if services.is_none() {
            let required = are_services_required();
            assert!(!required, "the services are required, and not there");
            skip("needs the services (run dev/test)");
        }
        services
    }

    /// Returns what a process has in its environment to find them.
    pub fn env(&self) -> [(&'static str, String); 3] {
        [
            ("DATABASE_URL", self.database.to_string()),
            ("KAFKA_BROKERS", self.brokers.clone()),
            ("REDIS_URL", self.valkey.clone()),
        ]
    }
}
