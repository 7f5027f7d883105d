//! Which adapters were opened: the only file that knows. Everything else sees the three ports.

use anyhow::Context;
use secrecy::SecretString;

use crate::{
    data_dir::DataDir,
    message_log::{
        MessageLog,
        local::{Expected, LocalLog},
    },
    presence::{Presence, memory::MemoryPresence},
    store::Store,
};

/// The adapters behind the three ports, and what comes with them.
#[derive(Debug)]
pub struct Backends {
    pub store: Store,
    pub log: MessageLog,
    pub presence: Presence,
    /// Signs tokens.
    pub secret: SecretString,
    /// Whether the demo may be shown to loopback peers.
    pub is_demo: bool,
}

impl Backends {
    /// Opens the embedded adapters in a data folder.
    ///
    /// # Errors
    /// When a file is damaged, from a newer version, or not the other's; the sentence says what
    /// to do.
    pub async fn embedded(dir: &DataDir) -> anyhow::Result<Self> {
        let store = Store::open_sqlite(&dir.store()).await?;
        let installation = store.installation().await?;
        let offsets = store.ingest_offsets().await?;
        let expected = Expected {
            log_id: installation.log_id,
            ingested: offsets.first().map_or(0, |(_, next)| *next),
        };
        let log = LocalLog::open(dir.path(), expected)?;
        store
            .bind_log(log.id())
            .await
            .context("the data folder's two files do not match")?;
        Ok(Self {
            store,
            log: MessageLog::Local(log),
            presence: Presence::Memory(MemoryPresence::default()),
            secret: dir.secret()?,
            is_demo: true,
        })
    }
}
