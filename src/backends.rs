//! Which adapters were opened: the only file that knows. Everything else sees the three ports.

use anyhow::Context;
use fail::fail_point;
use secrecy::SecretString;

use crate::{
    aside,
    config::{KafkaConfig, RedisConfig},
    data_dir::DataDir,
    message_log::{
        LogError, MessageLog,
        kafka::KafkaLog,
        local::{Expected, LocalLog},
    },
    presence::{
        Presence,
        memory::MemoryPresence,
        valkey::{self, ValkeyPresence},
    },
    store::Store,
};

/// The adapters behind the ports, for the parts of the system that this process is.
#[derive(Debug)]
pub struct Backends {
    pub store: Store,
    pub log: MessageLog,
    /// Whether it stores what the log holds.
    pub is_worker: bool,
    /// What clients need besides; `None` on a worker.
    pub gateway: Option<GatewayBackends>,
}

/// What only a gateway has.
#[derive(Debug)]
pub struct GatewayBackends {
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
        let (folder, lock) = (dir.path().to_owned(), dir.lock());
        let opened = aside::run("log-opening", move || {
            fail_point!("log-opening");
            let log = LocalLog::open(&folder, expected);
            // Not before: whoever asked may have gone meanwhile.
            drop(lock);
            log
        });
        let log = opened.await.context("the log was not opened")??;
        store
            .bind_log(log.id())
            .await
            .context("the data folder's two files do not match")?;
        Ok(Self {
            store,
            log: MessageLog::Local(log),
            is_worker: true,
            gateway: Some(GatewayBackends {
                presence: Presence::Memory(MemoryPresence::default()),
                secret: dir.secret()?,
                is_demo: true,
            }),
        })
    }
}

/// Opens Kafka, and notes where the broadcast topics end: to be called before revoked tokens are
/// read from the store.
///
/// # Errors
/// As [`KafkaLog::open`].
pub async fn kafka(config: &KafkaConfig) -> Result<MessageLog, LogError> {
    KafkaLog::open(config).await.map(MessageLog::Kafka)
}

/// Opens Valkey, which need not answer yet.
///
/// # Errors
/// When its URL is not one.
pub fn valkey(config: &RedisConfig) -> Result<Presence, valkey::OpenError> {
    ValkeyPresence::open(config).map(Presence::Valkey)
}
