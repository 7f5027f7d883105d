//! The configuration after it was checked: one struct a concern.
//!
//! [`keys`] is the table of all settings. [`Settings`] finds each value (a flag beats the
//! environment, that beats `.env`, that beats the default) and collects every problem, so that
//! people hear of all of them at once and nothing is opened before.

mod environment;
mod gateway;
pub mod keys;
pub mod parse;
mod serve;
mod settings;

use std::path::PathBuf;

pub use environment::Environment;
pub use gateway::{GatewayConfig, HttpConfig, LimitConfig, Rate, TokenConfig};
pub use serve::{DatabaseConfig, KafkaConfig, RedisConfig, Role, ServeConfig, ServeGateway};
pub use settings::{ConfigError, Mode, Problem, Settings, Source, Value};

/// Everything that `dev` runs with.
#[derive(Debug, Clone)]
pub struct DevConfig {
    /// Where the embedded database, log and secret lie; `None` for a temporary folder.
    pub data_dir: Option<PathBuf>,
    pub gateway: GatewayConfig,
    /// `RUST_LOG`.
    pub log_filter: String,
}

impl DevConfig {
    /// Reads what `dev` runs with; what belongs to the real services is not looked at.
    ///
    /// # Errors
    /// Every problem.
    pub fn load(mut settings: Settings, is_ephemeral: bool) -> Result<Self, ConfigError> {
        let data_dir = settings.read(&keys::ROOMCAST_DATA_DIR, parse::path);
        let gateway = GatewayConfig::read(&mut settings, None);
        let log_filter = settings.read(&keys::RUST_LOG, parse::log_filter);
        let config = (|| {
            Some(Self {
                data_dir: data_dir.filter(|_| !is_ephemeral),
                gateway: gateway?,
                log_filter: log_filter?,
            })
        })();
        settings.finish(config)
    }
}
